// Where each fragment of a song came from, as the server told it while it was fetched. Kept for
// the last few songs only. Emits `change` with the song in `detail`.

const SONGS_MAX = 12;

export class Sources extends EventTarget {
  #songs = new Map();

  /** Takes a `fragment` event in. */
  hear(event) {
    if (!event?.song || !Number.isInteger(event.index)) return;
    const heard = this.#of(event.song);
    // What is in the cache now was first fetched from somebody: that stays the better answer.
    if (event.from !== 'cache' || !heard.from.has(event.index)) heard.from.set(event.index, event.from);
    heard.last = event.from;
    heard.lost = new Set(Array.isArray(event.lost) ? event.lost : []);
    this.dispatchEvent(new CustomEvent('change', { detail: event }));
  }

  /** What the cache held before this page asked for anything. */
  learn(id, cached) {
    const heard = this.#of(id);
    for (const [first, end] of Array.isArray(cached) ? cached : []) {
      for (let i = first; i < end; i += 1) if (!heard.from.has(i)) heard.from.set(i, 'cache');
    }
  }

  /** `{ from: Map(index -> address or "cache"), last, lost: Set(address) }` */
  of(id) {
    return this.#songs.get(id) ?? NOTHING;
  }

  #of(id) {
    const heard = this.#songs.get(id) ?? { from: new Map(), last: null, lost: new Set() };
    this.#songs.delete(id);
    this.#songs.set(id, heard);
    if (this.#songs.size > SONGS_MAX) this.#songs.delete(this.#songs.keys().next().value);
    return heard;
  }
}

const NOTHING = { from: new Map(), last: null, lost: new Set() };
