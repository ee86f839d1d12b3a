// What this browser keeps for itself: queue, position, stars, volume. A full or forbidden
// storage loses only the keeping, never the playing.

const PREFIX = 'dispotify.';

export function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

export function write(name, value) {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // Nothing to be done, and nothing a listener should be troubled with.
  }
}

const FIELDS = ['id', 'title', 'artist', 'album', 'genre', 'year', 'duration_ms', 'bytes', 'format', 'copies'];

/** What is worth keeping of a song: enough to show it before the server answers. */
export const slim = (song) => Object.fromEntries(FIELDS.map((field) => [field, song[field] ?? null]));

/** Starred songs, newest first. Emits `change`. */
export class Stars extends EventTarget {
  #songs = read('stars', []).filter((song) => song?.id);

  has(id) {
    return this.#songs.some((song) => song.id === id);
  }

  toggle(song) {
    const had = this.has(song.id);
    this.#songs = this.#songs.filter((other) => other.id !== song.id);
    if (!had) this.#songs.unshift(slim(song));
    write('stars', this.#songs);
    this.dispatchEvent(new Event('change'));
  }

  /** Those that match all words, in the order asked for. */
  list(words, sort, descending) {
    const wanted = words.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (song) => [song.title, song.artist, song.album, song.genre].join(' ').toLowerCase();
    const found = this.#songs.filter((song) => wanted.every((word) => text(song).includes(word)));
    const key = sort === 'duration' ? 'duration_ms' : sort;
    const compare = (a, b) =>
      String(a[key] ?? '').localeCompare(String(b[key] ?? ''), undefined, { numeric: true });
    found.sort((a, b) => (descending ? compare(b, a) : compare(a, b)));
    return found;
  }
}
