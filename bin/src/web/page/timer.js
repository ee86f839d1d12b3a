// The sleep timer: after some minutes, or with the song, the music fades and pauses. Emits `change`
// each minute, `fade` (a share from 1 to 0) and `sleep`.

/** How long the music takes to fade away. */
const FADE_MS = 12000;

export const MINUTES = [15, 30, 45, 60, 90];

export class SleepTimer extends EventTarget {
  /** When it is over, in milliseconds; `song` means with the song; null is off. */
  until = null;
  #timer = 0;

  get minutesLeft() {
    return typeof this.until === 'number' ? Math.max(1, Math.ceil((this.until - Date.now()) / 60000)) : 0;
  }

  /** `after`: minutes, `song`, or null for off. */
  set(after) {
    clearInterval(this.#timer);
    this.#fade(1);
    this.minutes = after;
    this.until = typeof after === 'number' ? Date.now() + after * 60000 : after;
    if (typeof after === 'number') this.#timer = setInterval(() => this.#look(), 500);
    this.dispatchEvent(new Event('change'));
  }

  /** Whether the music is to end here, when a song ends. */
  endsHere() {
    if (this.until !== 'song') return false;
    this.set(null);
    return true;
  }

  #look() {
    const left = this.until - Date.now();
    if (left <= 0) {
      this.dispatchEvent(new Event('sleep'));
      this.set(null);
      return;
    }
    if (left < FADE_MS) this.#fade(left / FADE_MS);
    this.dispatchEvent(new Event('change'));
  }

  #fade(share) {
    this.dispatchEvent(new CustomEvent('fade', { detail: share }));
  }
}
