// Rows of songs, and what is done with them by pointer and keys: to play, to choose several, to open
// the menu. Lists and albums differ in how a row is found and brought into the window.
//
// Emits `play`, `menu` and `star`, with `{ song, index }` in `detail`.

import { fillCover } from './covers.js';
import { clock, el, icon, setIcon } from './dom.js';
import { formatName, isPlayable } from './formats.js';
import { label, t } from './words.js';

const PAGE_ROWS = 8;

export class Rows extends EventTarget {
  #host;
  #places;
  #stars;
  #picks;
  #current = { id: null, playing: false };

  /** `places`: `count()`, `get(index)` and `reveal(index)`; `above()` is where the arrow leads from the first row. */
  constructor(host, places, { stars, picks }) {
    super();
    this.#host = host;
    this.#places = places;
    this.#stars = stars;
    this.#picks = picks;
    host.addEventListener('click', (event) => this.#clicked(event));
    host.addEventListener('dblclick', (event) => {
      const row = event.target.closest('li.row');
      if (row?.song && !event.target.closest('button') && !modified(event)) this.#tell('play', row);
    });
    host.addEventListener('contextmenu', (event) => {
      const row = event.target.closest('li.row');
      if (!row?.song) return;
      event.preventDefault();
      this.#tell('menu', row, { x: event.clientX, y: event.clientY });
    });
    host.addEventListener('keydown', (event) => this.#pressed(event));
    // One row is in the tab order, the one visited last: a long list is one stop, not hundreds.
    host.addEventListener('focusin', (event) => {
      const row = event.target.closest('li.row');
      if (row) this.#reachOnly(row);
    });
    picks.addEventListener('change', () => this.refresh());
    stars.addEventListener('change', () => this.refresh());
  }

  /** A row; `numbered` shows the place on the album instead of cover and album. */
  row(song, index, { numbered = false } = {}) {
    const title = song.title || t('untitled');
    const name = el('button.row-title', { type: 'button', 'data-do': 'play', textContent: title, tabIndex: -1 });
    const words = el('div.row-words', {}, name, el('p.row-artist', { textContent: song.artist || t('unknownArtist') }));
    const star = el('button.round.row-star', { type: 'button', 'data-do': 'star', tabIndex: -1 }, icon('star'));
    const more = el('button.round.row-more', { type: 'button', 'data-do': 'menu', 'aria-haspopup': 'menu', tabIndex: -1 }, icon('more'));
    label(more, t('more', title));
    const row = el(numbered ? 'li.row.numbered' : 'li.row', {},
      numbered ? number(song, index) : cover(song), words,
      ...(numbered ? [] : [
        el('span.row-album', { textContent: song.album || '' }),
        el('span.row-genre', { textContent: [song.genre, song.year || ''].filter(Boolean).join(', ') }),
      ]),
      isPlayable(song) ? copies(song) : silent(song), star,
      el('span.row-time', { textContent: song.duration_ms ? clock(song.duration_ms / 1000) : '' }),
      more);
    row.song = song;
    row.index = index;
    this.#mark(row);
    return row;
  }

  /** Marks the row of the song that plays. */
  mark(id, playing) {
    if (id === this.#current.id && playing === this.#current.playing) return;
    this.#current = { id, playing };
    this.refresh();
  }

  refresh() {
    for (const row of this.#host.querySelectorAll('li.row')) if (row.song) this.#mark(row);
  }

  /** The focus to a row, which comes into the window. */
  focus(index) {
    const row = this.#places.reveal(index);
    if (!row?.song) return;
    row.querySelector('.row-title').focus({ preventScroll: true });
  }

  #reachOnly(row) {
    for (const other of this.#host.querySelectorAll('[tabindex="0"]')) if (!row.contains(other)) other.tabIndex = -1;
    for (const button of row.querySelectorAll('.row-title, .row-star, .row-more')) button.tabIndex = 0;
  }

  /** Some row is always in the tab order. */
  reachFirst() {
    if (this.#host.querySelector('[tabindex="0"]')) return;
    const row = this.#host.querySelector('li.row');
    if (row?.song) this.#reachOnly(row);
  }

  #mark(row) {
    const { song } = row;
    const here = song.id === this.#current.id;
    const playing = here && this.#current.playing;
    row.classList.toggle('here', here);
    row.classList.toggle('playing', playing);
    row.classList.toggle('picked', this.#picks.has(song.id));
    if (here) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
    const title = song.title || t('untitled');
    const words = this.#picks.has(song.id) ? t('picked', title)
      : playing ? t('pauseSong', title) : t('playSongBy', title, song.artist || t('unknownArtist'));
    label(row.querySelector('.row-title'), words);
    label(row.querySelector('.row-play'), words);
    setIcon(row.querySelector('.row-glyph'), this.#picks.has(song.id) ? 'check' : playing ? 'pause' : 'play');
    const starred = this.#stars.has(song.id);
    const star = row.querySelector('.row-star');
    star.setAttribute('aria-pressed', String(starred));
    label(star, t(starred ? 'unstar' : 'star'));
  }

  #clicked(event) {
    const row = event.target.closest('li.row');
    if (!row?.song) return;
    const button = event.target.closest('[data-do]');
    const what = button?.dataset.do;
    if (event.shiftKey) return this.#pickTo(row.index);
    if (modified(event) || (this.#picks.size && what === 'play')) return this.#picks.toggle(row.song, row.index);
    if (!button) return;
    const box = button.getBoundingClientRect();
    this.#tell(what, row, { x: box.right, y: box.bottom, button });
  }

  #pickTo(index) {
    getSelection()?.removeAllRanges();
    const from = this.#picks.anchor ?? index;
    const [first, last] = [Math.min(from, index), Math.max(from, index)];
    const songs = [];
    for (let at = first; at <= last; at += 1) songs.push(this.#places.get(at));
    this.#picks.add(songs.filter(Boolean));
  }

  #tell(what, row, more = {}) {
    this.dispatchEvent(new CustomEvent(what, { detail: { song: row.song, index: row.index, ...more } }));
  }

  #pressed(event) {
    const row = event.target.closest('li.row');
    if (!row?.song || event.altKey) return;
    if (this.#pick(event, row)) return event.preventDefault();
    if (event.ctrlKey || event.metaKey) return;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE_ROWS, PageUp: -PAGE_ROWS }[event.key];
    const last = this.#places.count() - 1;
    if (event.key === 'Home') this.focus(0);
    else if (event.key === 'End') this.focus(last);
    else if (!step) return;
    else if (row.index + step < 0 && step === -1) this.#places.above();
    else {
      const index = Math.min(Math.max(row.index + step, 0), last);
      if (event.shiftKey) this.#picks.anchor === null ? this.#pickBoth(row.index, index) : this.#pickTo(index);
      this.focus(index);
    }
    event.preventDefault();
  }

  #pickBoth(from, index) {
    this.#picks.toggle(this.#places.get(from), from);
    this.#pickTo(index);
  }

  #pick(event, row) {
    if ((event.ctrlKey || event.metaKey) && event.key === 'a') {
      const songs = Array.from({ length: this.#places.count() }, (_, at) => this.#places.get(at));
      this.#picks.add(songs.filter(Boolean));
      return true;
    }
    if (event.key === 'x' && !event.ctrlKey && !event.metaKey) {
      this.#picks.toggle(row.song, row.index);
      return true;
    }
    if (event.key === 'Escape' && this.#picks.size) {
      this.#picks.clear();
      return true;
    }
    return false;
  }
}

const modified = (event) => event.ctrlKey || event.metaKey;

function glyph() {
  return el('span.row-glyph', {}, icon('play'), el('span.bars', {}, el('i'), el('i'), el('i')));
}

function cover(song) {
  const box = el('button.cover.row-play', { type: 'button', tabIndex: -1, 'data-do': 'play' });
  fillCover(box, song);
  box.append(glyph());
  return box;
}

function number(song, index) {
  return el('button.row-play.row-number', { type: 'button', tabIndex: -1, 'data-do': 'play' },
    el('span', { 'aria-hidden': 'true', textContent: song.track || index + 1 }), glyph());
}

function copies(song) {
  const count = Math.min(song.copies ?? 0, 5);
  const dots = Array.from({ length: Math.max(count, 3) }, (_, n) => el(n < count ? 'i.on' : 'i'));
  const words = t('copies', song.copies ?? 0);
  const box = el('span.row-copies', { role: 'img', title: words }, ...dots);
  label(box, words);
  return box;
}

/** In the place of the copies: that this browser cannot play it. */
function silent(song) {
  const words = t('format', formatName(song));
  const box = el('span.row-silent', { role: 'img', title: words }, icon('muted'));
  label(box, words);
  return box;
}
