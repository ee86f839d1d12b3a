// The songs that are chosen together, across views. Emits `change`.

/** As many as a queue takes. */
const PICKS_MAX = 500;

export class Picks extends EventTarget {
  #songs = new Map();
  /** The index of the row from which a range goes. */
  anchor = null;

  get size() {
    return this.#songs.size;
  }

  get songs() {
    return [...this.#songs.values()];
  }

  has(id) {
    return this.#songs.has(id);
  }

  toggle(song, index) {
    this.anchor = index;
    if (!this.#songs.delete(song.id)) this.#put(song);
    this.#changed();
  }

  add(songs) {
    for (const song of songs) this.#put(song);
    this.#changed();
  }

  clear() {
    if (!this.size && this.anchor === null) return;
    this.#songs.clear();
    this.anchor = null;
    this.#changed();
  }

  #put(song) {
    if (this.#songs.size < PICKS_MAX) this.#songs.set(song.id, song);
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}
