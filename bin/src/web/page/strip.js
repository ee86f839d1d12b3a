// The song's fragments in the seek bar, each in the colour of the node it came from; what is
// still to come is pale, what the cache had is hatched. Beneath it the ranges the browser holds.
// And the slider on top: a real range input, so keys and screen readers work as they should.
//
// Emits `seek` with seconds.

import { $, clock, el } from './dom.js';
import { t } from './words.js';

/** Narrower than this many fragments and the gaps between them would be all one sees. */
const GAPS_MAX = 90;

export class Strip extends EventTarget {
  #player;
  #sources;
  #cluster;
  #cells = [];
  #drawn = '';
  #held = false;

  constructor(player, sources, cluster) {
    super();
    this.#player = player;
    this.#sources = sources;
    this.#cluster = cluster;
    const slider = $('seek');
    slider.addEventListener('input', () => {
      this.#held = true;
      this.#place(Number(slider.value));
    });
    slider.addEventListener('change', () => {
      this.#held = false;
      this.#seek(Number(slider.value));
    });
    slider.addEventListener('keydown', (event) => this.#pressed(event));
    slider.addEventListener('pointerup', () => slider.blur());
  }

  /** The fragment that holds this second; -1 where the fragments are not known. */
  at(seconds) {
    const starts = this.#starts();
    let found = -1;
    while (found + 1 < starts.length && starts[found + 1] <= seconds * 1000) found += 1;
    return found;
  }

  draw() {
    this.#build();
    this.#tint();
    this.time();
  }

  /** Where playing stands, and what the browser holds. */
  time() {
    const { duration, position, song } = this.#player;
    const slider = $('seek');
    slider.disabled = !song;
    slider.max = Math.max(Math.floor(duration), 0);
    $('total').textContent = song ? clock(duration) : '0:00';
    if (!this.#held) {
      slider.value = position;
      this.#place(position);
    }
    this.#buffered(duration);
  }

  /** Colours again: a fragment has come. */
  tint() {
    this.#tint();
  }

  #starts() {
    const starts = this.#player.details?.starts_ms;
    return Array.isArray(starts) ? starts : [];
  }

  #build() {
    const starts = this.#starts();
    const { duration, song } = this.#player;
    const key = `${song?.id} ${starts.length} ${Math.round(duration)}`;
    if (key === this.#drawn) return;
    this.#drawn = key;
    const end = duration * 1000;
    this.#cells = starts.map((start, n) => {
      const cell = el('i');
      const share = Math.max((starts[n + 1] ?? Math.max(end, start)) - start, 0);
      cell.style.flexGrow = share;
      cell.hidden = share === 0;
      return cell;
    });
    $('strip').classList.toggle('dense', starts.length > GAPS_MAX);
    $('strip').replaceChildren(...this.#cells);
  }

  #tint() {
    const { song } = this.#player;
    if (!song) return;
    const { from } = this.#sources.of(song.id);
    this.#cells.forEach((cell, n) => {
      const source = from.get(n);
      const hue = !source ? '' : source === 'cache' ? 'cache' : String(this.#cluster.hue(source));
      if ((cell.dataset.hue ?? '') === hue) return;
      if (hue) cell.dataset.hue = hue;
      else delete cell.dataset.hue;
    });
  }

  #place(seconds) {
    const { duration } = this.#player;
    const share = duration > 0 ? Math.min(seconds / duration, 1) : 0;
    $('head').style.left = `${share * 100}%`;
    $('ahead').style.left = `${share * 100}%`;
    $('elapsed').textContent = clock(seconds);
    $('seek').setAttribute('aria-valuetext', t('position', clock(seconds), clock(duration)));
  }

  #buffered(duration) {
    const { audio, song } = this.#player;
    const ranges = song && duration > 0 ? audio.buffered : { length: 0 };
    const box = $('buffered');
    while (box.children.length > ranges.length) box.lastChild.remove();
    while (box.children.length < ranges.length) box.append(el('i'));
    for (let n = 0; n < ranges.length; n += 1) {
      const { style } = box.children[n];
      style.left = `${(ranges.start(n) / duration) * 100}%`;
      style.width = `${((ranges.end(n) - ranges.start(n)) / duration) * 100}%`;
    }
  }

  #pressed(event) {
    if (event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) return;
    const { position, duration } = this.#player;
    const to = {
      ArrowLeft: position - 5, ArrowDown: position - 5, ArrowRight: position + 5, ArrowUp: position + 5,
      PageDown: position - 30, PageUp: position + 30, Home: 0, End: duration,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.#seek(to);
  }

  #seek(seconds) {
    this.dispatchEvent(new CustomEvent('seek', { detail: seconds }));
  }
}
