// What the tags of a song say to the player: how loud it is to be (ReplayGain), and its lyrics. Read
// once for a song, before it plays if there is time. Emits `change` when tags have come.

import * as api from './api.js';
import { read, write } from './keep.js';

const SONGS_MAX = 32;

/** Whether songs, or albums as a whole, are made equally loud. */
export const MODES = ['off', 'song', 'album'];

export class Tags extends EventTarget {
  #songs = new Map();

  /** What is known of a song; null as long as it has not come. */
  of(id) {
    const found = this.#songs.get(id);
    return found && found !== WAITING ? found : null;
  }

  /** Has the tags of a song come. */
  async learn(id) {
    if (this.#songs.has(id)) return;
    this.#songs.set(id, WAITING);
    if (this.#songs.size > SONGS_MAX) this.#songs.delete(this.#songs.keys().next().value);
    try {
      this.#songs.set(id, await api.tags(id));
      this.dispatchEvent(new CustomEvent('change', { detail: id }));
    } catch {
      // The song plays as it is, and the next look asks again.
      this.#songs.delete(id);
    }
  }
}

const WAITING = Symbol('waiting');

export class Loudness {
  constructor() {
    const kept = read('loudness', 'song');
    this.mode = MODES.includes(kept) ? kept : 'song';
  }

  setMode(mode) {
    this.mode = mode;
    write('loudness', mode);
  }

  /** The factor of the volume for a song with these tags. It never raises a peak above full scale. */
  factor(tags) {
    if (this.mode === 'off' || !tags) return 1;
    const kinds = this.mode === 'album' ? ['album', 'track'] : ['track', 'album'];
    for (const kind of kinds) {
      const gain = number(tags.tags?.[`replaygain_${kind}_gain`]);
      if (gain === null || Math.abs(gain) > GAIN_DB_MAX) continue;
      const peak = number(tags.tags?.[`replaygain_${kind}_peak`]) || 1;
      return Math.min(10 ** (gain / 20), 1 / peak);
    }
    return 1;
  }
}

/** A gain beyond this is a mistake in the tags. */
const GAIN_DB_MAX = 40;

/** `-7.03 dB` as a number. */
function number(text) {
  const found = Number.parseFloat(String(text ?? '').replace(',', '.'));
  return Number.isFinite(found) ? found : null;
}
