#!/bin/bash
# netlab.sh HOSTS COMMAND...   runs COMMAND in a throw-away network of hosts h1..hN = 10.77.0.11 and on, joined by
# the bridge br0 through their ports p1..pN. Everything is gone when this process is gone: the namespaces belong to
# it, and it dies with whoever started it. Without root it makes a user namespace first. With NETLAB_BARE the hosts
# have no cables: whoever runs COMMAND connects them.
set -eu
if [ -z "${NETLAB_IN:-}" ]; then
  user=""
  [ "$(id -u)" = 0 ] || user="-Ur"
  exec env NETLAB_IN=1 setpriv --pdeathsig KILL \
    unshare $user -nmpf --mount-proc --propagation private --kill-child=KILL -- bash "$0" "$@"
fi
hosts=$1
shift
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/netns /run/lock
ip link set lo up
for i in $(seq 1 "$hosts"); do echo "netns add h$i"; done | ip -batch -
if [ -n "${NETLAB_BARE:-}" ]; then
  for i in $(seq 1 "$hosts"); do ip -n "h$i" link set lo up; done
  exec "$@"
fi
ip link add br0 type bridge
ip link set br0 up
for i in $(seq 1 "$hosts"); do
  echo "link add p$i type veth peer name eth0 netns h$i"
  echo "link set p$i master br0 up"
done | ip -batch -
for i in $(seq 1 "$hosts"); do
  printf 'addr add 10.77.0.%d/24 dev eth0\nlink set lo up\nlink set eth0 up\n' $((10 + i)) | ip -n "h$i" -batch -
done
exec "$@"
