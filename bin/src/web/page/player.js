// One song at a time through a media element, and a second element that has the next one ready.
//
// Promise: as long as somebody wants to hear a song, this goes on trying. When the element fails
// or stands still, it is loaded again at the last position that was heard, after growing pauses;
// only a song that is gone, or a format that the browser does not know, ends the trying.
//
// Emits `song`, `state`, `time`, `trouble` (with `detail`), `heard` and `ended`.

import * as api from './api.js';
import { read, write } from './keep.js';

const PAUSES_S = [0.5, 1, 2, 4, 8, 15];
/** Standing still for longer than this is a failure, although no error came. */
const STALL_MS_MAX = 12000;
/** The next song is made ready when this much is left. */
const READY_S = 20;
/**
 * A song that is ready is started this much before the last one ends: as long as a media element takes
 * to begin, which is measured. Without it, albums whose songs run into one another have a gap.
 */
const LEAD_S = { first: 0.03, least: 0.005, most: 0.15 };
/** From here on the handover is timed; `timeupdate` comes four times a second at least. */
const HANDOVER_S = 0.9;

/** Songs whose loudness is remembered. */
const GAINS_MAX = 64;
/** A song counts as heard after half of it, or after so much. */
const HEARD_S_MAX = 240;

export class Player extends EventTarget {
  song = null;
  details = null;
  /** What the listener wants: `stopped`, `paused` or `playing`. */
  wish = 'stopped';
  trouble = null;
  /** Whether the server's events reach the page: tells a server that is away from nodes that are. */
  contact = true;

  #spare;
  #ready = null;
  #position = 0;
  /** Seconds of the song that sounded; none once it was counted. */
  #sounded = 0;
  #tries = 0;
  #timer = 0;
  #movedAt = 0;
  #question = null;
  #keptAt = 0;
  #handover = 0;
  #faded = 1;
  #lead = LEAD_S.first;
  /** When an element that was ready was started; 0 when none was. */
  #startedAt = 0;
  /** Factors of the volume by song: what makes songs equally loud. */
  #gains = new Map();
  /** The song that the spare element has. */
  #spareSong = null;

  constructor(audio, spare) {
    super();
    this.audio = audio;
    this.#spare = spare;
    const { volume, muted } = read('sound', {});
    this.volume = Number.isFinite(volume) ? Math.min(Math.max(volume, 0), 1) : 1;
    this.muted = muted === true;
    for (const one of [audio, spare]) this.#attend(one);
    this.#sound();
    setInterval(() => this.#watch(), 1000);
    addEventListener('pagehide', () => this.#keepPosition());
  }

  get playing() {
    return this.wish === 'playing';
  }

  get duration() {
    const known = this.audio.duration;
    if (Number.isFinite(known) && known > 0) return known;
    return (this.details?.duration_ms || this.song?.duration_ms || 0) / 1000;
  }

  get position() {
    return this.#position;
  }

  /** Takes a song up, at a position in seconds; plays it or waits for a click. */
  load(song, { at = 0, play = true } = {}) {
    this.#calm();
    this.#endHandover();
    this.song = song;
    this.details = null;
    this.#position = at;
    this.#sounded = 0;
    this.wish = play ? 'playing' : 'paused';
    if (this.#ready === song.id) this.#swap();
    else this.#open();
    this.#sound();
    this.#seekWhenKnown(at);
    this.#emit('song');
    this.#emit('state');
    if (play) this.#start();
    this.#describe(song.id);
  }

  play() {
    if (!this.song) return;
    this.wish = 'playing';
    if (!this.audio.hasAttribute('src')) {
      this.#open();
      this.#seekWhenKnown(this.#position);
    }
    this.#start();
    this.#emit('state');
  }

  pause() {
    this.wish = 'paused';
    this.#endHandover();
    this.#calm();
    this.audio.pause();
    this.#keepPosition();
    this.#emit('state');
  }

  /** Ends playing and fetching; the song stays, at its beginning. */
  stop() {
    this.wish = 'stopped';
    this.#endHandover();
    this.#calm();
    this.#close(this.audio);
    this.#close(this.#spare);
    this.#ready = null;
    this.#position = 0;
    this.#keepPosition();
    this.#emit('time');
    this.#emit('state');
  }

  seek(seconds) {
    if (!this.song) return;
    this.#endHandover();
    const to = Math.min(Math.max(seconds, 0), Math.max(this.duration - 0.25, 0));
    this.#position = to;
    this.#movedAt = performance.now();
    if (this.audio.readyState > 0) this.audio.currentTime = to;
    else this.#seekWhenKnown(to);
    this.#keepPosition();
    this.#emit('time');
  }

  setVolume(volume, muted = false) {
    this.volume = Math.min(Math.max(volume, 0), 1);
    this.muted = muted;
    this.#sound();
    write('sound', { volume: this.volume, muted });
    this.#emit('state');
  }

  /** How loud a song is to be, as a factor of the volume. */
  setGain(id, gain) {
    this.#gains.delete(id);
    this.#gains.set(id, gain);
    if (this.#gains.size > GAINS_MAX) this.#gains.delete(this.#gains.keys().next().value);
    this.#sound();
  }

  /** Fades the volume, from 1 to 0, for the end of an evening. */
  fade(share) {
    this.#faded = share;
    this.#sound();
  }

  /** Makes the next song ready, once the present one nears its end. */
  prepare(song) {
    if (!song || song.id === this.#ready || song.id === this.song?.id) return;
    if (!this.playing || this.duration - this.#position > READY_S) return;
    this.#ready = song.id;
    this.#spareSong = song.id;
    this.#sound();
    this.#spare.preload = 'auto';
    this.#spare.src = api.streamUrl(song.id);
  }

  /** The server is there again: no need to sit out the pause. */
  retryNow() {
    if (this.trouble?.kind !== 'away') return;
    clearTimeout(this.#timer);
    this.#again();
  }

  #attend(audio) {
    const on = (name, work) =>
      audio.addEventListener(name, (event) => event.target === this.audio && work.call(this));
    on('timeupdate', this.#moved);
    on('seeked', this.#moved);
    on('progress', () => this.#emit('time'));
    on('durationchange', () => this.#emit('time'));
    on('playing', () => {
      this.#learnLead();
      this.#movedAt = performance.now();
      this.#emit('state');
    });
    on('waiting', () => this.#emit('state'));
    on('ended', () => {
      this.#position = 0;
      this.#emit('ended');
    });
    on('error', this.#failed);
    // A pause that nobody here asked for: the system, a headset, another tab.
    on('pause', () => {
      if (this.playing && !this.audio.ended && !this.audio.error && !this.trouble) this.pause();
    });
    audio.addEventListener('error', (event) => {
      if (event.target !== this.audio) this.#ready = null;
    });
  }

  #moved() {
    const now = this.audio.currentTime;
    if (this.audio.readyState === 0 || this.audio.seeking) return;
    if (now !== this.#position) {
      this.#movedAt = performance.now();
      this.#tries = 0;
      if (this.trouble && this.playing) this.#calm();
    }
    this.#count(now - this.#position);
    this.#position = now;
    if (performance.now() - this.#keptAt > 5000) this.#keepPosition();
    this.#emit('time');
    this.#planHandover();
  }

  /** The next song begins without a gap, if it is ready. */
  #planHandover() {
    const left = this.audio.duration - this.audio.currentTime;
    const due = this.playing && this.#ready && !this.#handover && left < HANDOVER_S && left > this.#lead;
    if (!due || this.#spare.readyState < HTMLMediaElement.HAVE_FUTURE_DATA) return;
    const song = this.song.id;
    this.#handover = setTimeout(() => {
      this.#handover = 0;
      if (this.playing && this.song.id === song && this.#ready && !this.trouble) this.#emit('ended');
    }, (left - this.#lead) * 1000);
  }

  /** How long the element took to begin, as the lead of the next handover. */
  #learnLead() {
    if (!this.#startedAt) return;
    const took = (performance.now() - this.#startedAt) / 1000 - this.audio.currentTime;
    this.#startedAt = 0;
    if (!(took < LEAD_S.most)) return;
    this.#lead = Math.min(Math.max(this.#lead + (took - this.#lead) / 3, LEAD_S.least), LEAD_S.most);
  }

  #endHandover() {
    clearTimeout(this.#handover);
    this.#handover = 0;
  }

  /** Adds up what sounded: a jump is none of it. */
  #count(seconds) {
    if (!this.playing || this.#sounded === null || seconds <= 0 || seconds > 2) return;
    this.#sounded += seconds;
    if (this.duration > 0 && this.#sounded >= Math.min(this.duration / 2, HEARD_S_MAX)) {
      this.#sounded = null;
      this.#emit('heard');
    }
  }

  #watch() {
    if (!this.playing || this.#timer || !this.song) return;
    const since = performance.now() - this.#movedAt;
    if (since > 3000 && this.audio.readyState < 3 && !this.trouble) this.#say({ kind: this.contact ? 'waiting' : 'away' });
    if (since > STALL_MS_MAX && this.audio.readyState < 3) this.#failed();
  }

  async #failed() {
    if (!this.song || this.wish === 'stopped' || this.#timer) return;
    const { id } = this.song;
    const code = this.audio.error?.code ?? 0;
    // Held from here on: a second error must not begin a second row of tries.
    this.#timer = -1;
    const answer = await api.probe(id);
    if (this.song?.id !== id || this.#timer !== -1) return;
    this.#timer = 0;
    if (answer === 404 || answer === 410) return this.#giveUp('gone');
    const unplayable = code === MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED || code === MediaError.MEDIA_ERR_DECODE;
    if (answer >= 200 && answer < 300 && unplayable && this.#tries > 0) return this.#giveUp('format');
    const pause = PAUSES_S[Math.min(this.#tries, PAUSES_S.length - 1)];
    this.#tries += 1;
    // The first pause is shorter than a glance: it is not worth a word.
    if (this.#tries > 1 || !answer) this.#say({ kind: answer ? 'waiting' : 'away', seconds: pause });
    this.#timer = setTimeout(() => this.#again(), pause * 1000);
  }

  #again() {
    this.#timer = 0;
    if (!this.song || this.wish === 'stopped') return;
    const at = this.#position;
    this.#movedAt = performance.now();
    this.#open();
    this.#seekWhenKnown(at);
    if (this.playing) this.#start();
    if (!this.details) this.#describe(this.song.id);
  }

  #giveUp(kind) {
    this.wish = 'stopped';
    this.#close(this.audio);
    this.#say({ kind });
    this.#emit('state');
  }

  #open() {
    this.audio.preload = 'metadata';
    this.audio.src = api.streamUrl(this.song.id);
    this.audio.load();
  }

  #swap() {
    const old = this.audio;
    [this.audio, this.#spare] = [this.#spare, old];
    this.#ready = null;
    this.#startedAt = this.playing ? performance.now() : 0;
    this.audio.setAttribute('data-current', '');
    old.removeAttribute('data-current');
    // What little is left of the last song is heard to its end.
    const left = old.duration - old.currentTime;
    if (old.paused || !(left < HANDOVER_S)) this.#close(old);
    else setTimeout(() => old !== this.audio && !this.#ready && this.#close(old), left * 1000 + 50);
  }

  #close(audio) {
    audio.pause();
    if (!audio.hasAttribute('src')) return;
    audio.removeAttribute('src');
    audio.load();
  }

  #seekWhenKnown(at) {
    const { audio } = this;
    if (audio.readyState > 0) {
      if (Math.abs(audio.currentTime - at) > 0.05) audio.currentTime = at;
      return;
    }
    if (!at) return;
    const then = () => {
      if (audio === this.audio) audio.currentTime = at;
    };
    audio.addEventListener('loadedmetadata', then, { once: true });
  }

  async #start() {
    this.#movedAt = performance.now();
    try {
      await this.audio.play();
    } catch (error) {
      // Aborted is every play that a later load overtook; what fails otherwise comes as `error`.
      if (error.name !== 'NotAllowedError') return;
      this.wish = 'paused';
      this.#say({ kind: 'blocked' });
      this.#emit('state');
    }
  }

  async #describe(id) {
    this.#question?.abort();
    this.#question = new AbortController();
    try {
      const details = await api.song(id, this.#question.signal);
      if (this.song?.id !== id) return;
      this.details = details;
      this.#emit('song');
    } catch {
      // The strip is drawn without fragments; the element itself tells what matters.
    }
  }

  #calm() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#tries = 0;
    if (this.trouble) this.#say(null);
  }

  #say(trouble) {
    this.trouble = trouble;
    this.#emit('trouble');
  }

  #sound() {
    const songs = new Map([[this.audio, this.song?.id], [this.#spare, this.#spareSong]]);
    for (const [one, id] of songs) {
      one.volume = Math.min(this.volume * this.#faded * (this.#gains.get(id) ?? 1), 1);
      one.muted = this.muted;
    }
  }

  #keepPosition() {
    this.#keptAt = performance.now();
    write('position', this.song ? { id: this.song.id, at: this.#position } : null);
  }

  #emit(name) {
    this.dispatchEvent(new Event(name));
  }
}
