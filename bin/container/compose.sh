# Compose, as a plugin of docker or as a program of its own.
compose() {
  if docker compose version >/dev/null 2>&1; then
    docker compose -p dispotify "$@"
  else
    docker-compose -p dispotify "$@"
  fi
}
