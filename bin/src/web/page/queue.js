// The queue: what was played, what plays, what comes. Whatever changes it keeps it in the browser
// and emits `change`. It plays nothing itself.
//
// When it runs dry it goes on down the list or album from which the last song was played, so that one
// click is enough for an evening; `follow` names that next song.

import { read, slim, write } from './keep.js';

/** More would make every change slow to keep; the oldest played entries go first. */
const ENTRIES_MAX = 500;

export const REPEAT = ['off', 'all', 'one'];

export class Queue extends EventTarget {
  #serial = 0;

  constructor() {
    super();
    const kept = read('queue', {});
    const songs = (Array.isArray(kept.songs) ? kept.songs : []).filter((song) => song?.id);
    this.entries = songs.map((song) => this.#entry(song));
    this.index = Number.isInteger(kept.index) ? Math.min(Math.max(kept.index, -1), songs.length - 1) : -1;
    this.shuffle = kept.shuffle === true;
    this.repeat = REPEAT.includes(kept.repeat) ? kept.repeat : 'off';
    this.follow = () => null;
  }

  get current() {
    return this.entries[this.index] ?? null;
  }

  get coming() {
    return this.entries.slice(this.index + 1);
  }

  playNow(song) {
    this.entries.splice(this.index + 1, 0, this.#entry(song));
    this.index += 1;
    this.#changed();
    return this.current;
  }

  playNext(song) {
    this.entries.splice(this.index + 1, 0, this.#entry(song));
    this.#changed();
  }

  /** Plays these songs in their order, in the place of what waits. */
  playAll(songs) {
    if (!songs.length) return null;
    this.entries.splice(this.index + 1, Infinity, ...songs.map((song) => this.#entry(song)));
    this.index += 1;
    this.#changed();
    return this.current;
  }

  /** Songs that come next, in their order. */
  allNext(songs) {
    this.entries.splice(this.index + 1, 0, ...songs.map((song) => this.#entry(song)));
    this.#changed();
  }

  allLast(songs) {
    this.entries.push(...songs.map((song) => this.#entry(song)));
    this.#changed();
  }

  /** At the end, or anywhere among what comes when the order is by chance. */
  addLast(song) {
    const waiting = this.entries.length - this.index - 1;
    const back = this.shuffle ? Math.floor(Math.random() * (waiting + 1)) : 0;
    this.entries.splice(this.entries.length - back, 0, this.#entry(song));
    this.#changed();
  }

  remove(entry) {
    const at = this.entries.indexOf(entry);
    if (at < 0 || at === this.index) return;
    this.entries.splice(at, 1);
    if (at < this.index) this.index -= 1;
    this.#changed();
  }

  /** Moves a waiting entry; places are counted among what comes. */
  move(entry, to) {
    const from = this.entries.indexOf(entry);
    if (from <= this.index) return;
    this.entries.splice(from, 1);
    const place = this.index + 1 + Math.max(0, to);
    this.entries.splice(Math.min(place, this.entries.length), 0, entry);
    this.#changed();
  }

  /** Forgets what comes and what was; what plays goes on. */
  clear() {
    this.entries = this.current ? [this.current] : [];
    this.index = this.entries.length - 1;
    this.#changed();
  }

  jump(entry) {
    this.index = this.entries.indexOf(entry);
    this.#changed();
    return this.current;
  }

  /** The song after this one; `ended` when nobody pressed a button. Changes nothing. */
  peek(ended) {
    if (ended && this.repeat === 'one') return this.current?.song ?? null;
    const waiting = this.entries[this.index + 1];
    if (waiting) return waiting.song;
    if (this.repeat === 'all' && this.entries.length) return this.entries[0].song;
    return this.follow(this.current?.song, this.shuffle);
  }

  /** Goes to the song that `peek` names; null at the end of everything. */
  advance(ended) {
    if (ended && this.repeat === 'one' && this.current) return this.current;
    if (this.index + 1 < this.entries.length) return this.jump(this.entries[this.index + 1]);
    if (this.repeat === 'all' && this.entries.length) return this.jump(this.entries[0]);
    const song = this.follow(this.current?.song, this.shuffle);
    return song ? this.playNow(song) : null;
  }

  back() {
    return this.index > 0 ? this.jump(this.entries[this.index - 1]) : this.current;
  }

  /** Mixes what comes; switched off, it comes in the order in which it was added. */
  setShuffle(on) {
    this.shuffle = on;
    const coming = this.coming;
    if (on) mix(coming);
    else coming.sort((a, b) => a.serial - b.serial);
    this.entries.splice(this.index + 1, coming.length, ...coming);
    this.#changed();
  }

  turnRepeat() {
    this.repeat = REPEAT[(REPEAT.indexOf(this.repeat) + 1) % REPEAT.length];
    this.#changed();
  }

  #entry(song) {
    this.#serial += 1;
    return { serial: this.#serial, song: slim(song) };
  }

  #changed() {
    const extra = this.entries.length - ENTRIES_MAX;
    if (extra > 0) {
      const old = Math.min(extra, Math.max(this.index, 0));
      this.entries.splice(0, old);
      this.index -= old;
      this.entries.length = Math.min(this.entries.length, ENTRIES_MAX);
    }
    const songs = this.entries.map((entry) => entry.song);
    write('queue', { songs, index: this.index, shuffle: this.shuffle, repeat: this.repeat });
    this.dispatchEvent(new Event('change'));
  }
}

function mix(list) {
  for (let i = list.length - 1; i > 0; i -= 1) {
    const j = Math.floor(Math.random() * (i + 1));
    [list[i], list[j]] = [list[j], list[i]];
  }
}
