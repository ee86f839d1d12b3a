// The songs among which a song was played: a list, an album. When the queue is empty, the music goes
// on from there, whatever the page shows meanwhile, also after a reload.

import { listed } from './list.js';
import { read, write } from './keep.js';
import { Pages } from './pages.js';

export class Trail {
  #pages = Pages.of([]);
  #wish = null;
  #at = -1;
  /** The song that comes by chance after a song: what was made ready is what comes. */
  #chance = { after: null, at: -1 };

  constructor() {
    const kept = read('trail', null);
    if (!kept?.wish) return;
    this.#pages = listed(kept.wish);
    this.#wish = kept.wish;
    this.#at = Number.isInteger(kept.at) ? kept.at : -1;
    const near = () => this.#pages.want(this.#at, this.#at + 1);
    this.#pages.begin().then(near, () => {});
  }

  /** The music is at this index of the pages, -1 before the first; `wish` is how they are asked for again. */
  begin(pages, at, wish) {
    this.#pages = pages;
    this.#wish = wish;
    this.#at = at;
    write('trail', { wish, at });
  }

  /** Whether there is a trail to go on. */
  get length() {
    return this.#pages.total ?? 0;
  }

  /** The song after this one; by chance any other. Null at the end, or while it has not come. */
  following(song, byChance) {
    const at = this.#place(song);
    const next = byChance ? this.#byChance(song, at) : at + 1;
    if (next < 0 || next >= this.length) return null;
    const found = this.#pages.get(next);
    if (!found) this.#pages.want(next, next);
    return found;
  }

  /** Where the music is on this trail; a song from elsewhere leaves it where it was. */
  #place(song) {
    if (!song || this.#pages.get(this.#at)?.id === song.id) return this.#at;
    const found = this.#pages.find((other) => other.id === song.id);
    if (found < 0) return this.#at;
    this.#at = found;
    write('trail', { wish: this.#wish, at: found });
    return found;
  }

  #byChance(song, at) {
    if (this.#chance.after !== song?.id || this.#chance.at >= this.length) {
      const others = this.length - (at >= 0 ? 1 : 0);
      if (others < 1) return -1;
      const drawn = Math.floor(Math.random() * others);
      this.#chance = { after: song?.id, at: at >= 0 && drawn >= at ? drawn + 1 : drawn };
    }
    return this.#chance.at;
  }
}
