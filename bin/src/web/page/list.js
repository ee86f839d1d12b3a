// The song list: searched as one types, sorted, and longer as one scrolls.
//
// One question to the server at a time: a later wish aborts the earlier question, so the list never
// shows the answer to something nobody asks any more. Rows stay as they are when more come.
//
// Emits `play`, `menu`, `star` (with `detail`) and `loaded`.

import * as api from './api.js';
import { fillCover } from './covers.js';
import { $, clock, debounce, el, icon, setIcon } from './dom.js';
import { read, write } from './keep.js';
import { label, t } from './words.js';

const TYPING_MS = 200;
const WORDS_MAX = 200;

export class List extends EventTarget {
  songs = [];
  total = 0;
  #after = null;
  #question = null;
  #stars;
  #current = { id: null, playing: false };

  constructor(stars) {
    super();
    this.#stars = stars;
    const kept = read('list', {});
    $('sort').value = kept.sort ?? 'artist';
    if (!$('sort').value) $('sort').value = 'artist';
    $('direction').setAttribute('aria-pressed', String(kept.descending === true));
    this.#listen();
  }

  get #wish() {
    return {
      words: $('search').value.trim().slice(0, WORDS_MAX),
      sort: $('sort').value,
      descending: $('direction').getAttribute('aria-pressed') === 'true',
    };
  }

  get #onlyStars() {
    return $('starred').getAttribute('aria-pressed') === 'true';
  }

  /** Asks for the list from its beginning. */
  async load() {
    this.#after = null;
    await this.#page(true);
  }

  /** The song after this one in the list shown; by chance any other. */
  following(song, byChance) {
    if (!this.songs.length) return null;
    const at = this.songs.findIndex((other) => other.id === song?.id);
    if (!byChance) return this.songs[at + 1] ?? null;
    const others = this.songs.filter((other) => other.id !== song?.id);
    return others[Math.floor(Math.random() * others.length)] ?? null;
  }

  /** Marks the row of the song that plays. */
  mark(id, playing) {
    this.#current = { id, playing };
    for (const row of $('songs').children) this.#markRow(row);
  }

  /** Takes the row of a song away that was removed. */
  drop(id) {
    const row = [...$('songs').children].find((one) => one.song.id === id);
    if (!row) return;
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    if (next) reach(next, true);
    this.songs = this.songs.filter((song) => song.id !== id);
    this.total -= 1;
    const { words } = this.#wish;
    $('count').textContent = words ? t('found', this.total, words) : t('count', this.total);
    this.#note(this.songs.length ? null : this.#emptiness(words));
  }

  refreshStars() {
    if (this.#onlyStars) this.load();
    else for (const row of $('songs').children) this.#markRow(row);
  }

  #listen() {
    const search = $('search');
    const soon = debounce(TYPING_MS, () => this.load());
    search.addEventListener('input', soon);
    search.addEventListener('keydown', (event) => {
      if (event.key === 'Enter') {
        soon.now();
        event.preventDefault();
        this.#focus(0);
      } else if (event.key === 'ArrowDown') {
        event.preventDefault();
        this.#focus(0);
      } else if (event.key === 'Escape') {
        if (search.value) {
          search.value = '';
          soon.now();
          event.preventDefault();
        } else search.blur();
      }
    });
    $('sort').addEventListener('change', () => this.#resort());
    $('direction').addEventListener('click', () => {
      toggle($('direction'));
      this.#resort();
    });
    $('starred').addEventListener('click', () => {
      toggle($('starred'));
      this.load();
    });
    $('songs').addEventListener('click', (event) => this.#clicked(event));
    $('songs').addEventListener('dblclick', (event) => {
      const row = event.target.closest('li');
      if (row && !event.target.closest('button')) this.#tell('play', row);
    });
    $('songs').addEventListener('contextmenu', (event) => {
      const row = event.target.closest('li');
      if (!row) return;
      event.preventDefault();
      this.#tell('menu', row, { x: event.clientX, y: event.clientY });
    });
    $('songs').addEventListener('keydown', (event) => this.#pressed(event));
    new IntersectionObserver((seen) => seen.some((one) => one.isIntersecting) && this.#more(), {
      root: document.querySelector('.library'),
      rootMargin: '800px',
    }).observe($('list-end'));
  }

  #resort() {
    const { sort, descending } = this.#wish;
    write('list', { sort, descending });
    this.load();
  }

  #more() {
    if (this.#after && !this.#question) this.#page(false);
  }

  async #page(fresh) {
    this.#question?.abort();
    const question = new AbortController();
    this.#question = question;
    $('songs').setAttribute('aria-busy', 'true');
    try {
      const page = this.#onlyStars ? this.#starred() : await api.songs({ ...this.#wish, after: this.#after }, question.signal);
      if (this.#question !== question) return;
      this.#show(page, fresh);
    } catch (error) {
      if (error.name === 'AbortError' || this.#question !== question) return;
      if (fresh) this.#fail(error);
    } finally {
      if (this.#question === question) {
        this.#question = null;
        $('songs').removeAttribute('aria-busy');
      }
    }
    this.#fillWindow();
  }

  /** The observer is silent while the end stays in sight: short pages are followed up here. */
  #fillWindow() {
    const library = document.querySelector('.library');
    const end = $('list-end').getBoundingClientRect().top;
    if (end < library.getBoundingClientRect().bottom + 800) this.#more();
  }

  #starred() {
    const { words, sort, descending } = this.#wish;
    const songs = this.#stars.list(words, sort, descending);
    return { songs, total: songs.length, next: null };
  }

  #show(page, fresh) {
    const songs = Array.isArray(page.songs) ? page.songs.filter((song) => song?.id) : [];
    this.#after = page.next ?? null;
    this.total = page.total ?? songs.length;
    this.songs = fresh ? songs : [...this.songs, ...songs];
    const rows = songs.map((song) => this.#row(song));
    if (fresh) {
      $('songs').replaceChildren(...rows);
      document.querySelector('.library').scrollTop = 0;
    } else $('songs').append(...rows);
    if (fresh && rows.length) reach(rows[0], true);
    const { words } = this.#wish;
    $('count').textContent = words ? t('found', this.total, words) : t('count', this.total);
    this.#note(this.songs.length ? null : this.#emptiness(words));
    if (fresh) this.dispatchEvent(new Event('loaded'));
  }

  #emptiness(words) {
    if (words) return ['noneTitle', t('none')];
    return this.#onlyStars ? ['noStarsTitle', t('noStars')] : ['emptyTitle', t('empty')];
  }

  #fail(error) {
    this.songs = [];
    this.#after = null;
    $('songs').replaceChildren();
    $('count').textContent = '';
    this.#note(['listFailedTitle', error.message], true);
  }

  #note(words, again = false) {
    const note = $('list-note');
    note.hidden = !words;
    if (!words) return note.replaceChildren();
    const retry = el('button.button', { type: 'button', textContent: t('load') });
    retry.addEventListener('click', () => this.load());
    note.replaceChildren(el('h2', { textContent: t(words[0]) }), el('p', { textContent: words[1] }), again ? retry : '');
  }

  #row(song) {
    const title = song.title || t('untitled');
    const cover = el('button.cover.row-play', { type: 'button', tabIndex: -1, 'data-do': 'play' });
    fillCover(cover, song);
    cover.append(el('span.row-glyph', {}, icon('play'), el('span.bars', {}, el('i'), el('i'), el('i'))));
    const name = el('button.row-title', { type: 'button', 'data-do': 'play', textContent: title, tabIndex: -1 });
    const words = el('div.row-words', {}, name, el('p.row-artist', { textContent: song.artist || t('unknownArtist') }));
    const copies = Math.min(song.copies ?? 0, 5);
    const dots = el('span.row-copies', { role: 'img', title: t('copies', song.copies ?? 0) }, ...Array.from({ length: Math.max(copies, 3) }, (_, n) => el(n < copies ? 'i.on' : 'i')));
    label(dots, t('copies', song.copies ?? 0));
    const star = el('button.round.row-star', { type: 'button', 'data-do': 'star', tabIndex: -1 }, icon('star'));
    const more = el('button.round.row-more', { type: 'button', 'data-do': 'menu', 'aria-haspopup': 'menu', tabIndex: -1 }, icon('more'));
    label(more, t('more', title));
    const row = el('li.row', {}, cover, words,
      el('span.row-album', { textContent: song.album || '' }),
      el('span.row-genre', { textContent: [song.genre, song.year || ''].filter(Boolean).join(', ') }),
      dots, star,
      el('span.row-time', { textContent: song.duration_ms ? clock(song.duration_ms / 1000) : '' }),
      more);
    row.song = song;
    this.#markRow(row);
    return row;
  }

  #markRow(row) {
    const { song } = row;
    const here = song.id === this.#current.id;
    const playing = here && this.#current.playing;
    row.classList.toggle('here', here);
    row.classList.toggle('playing', playing);
    if (here) row.setAttribute('aria-current', 'true');
    else row.removeAttribute('aria-current');
    const title = song.title || t('untitled');
    const words = playing ? t('pauseSong', title) : t('playSongBy', title, song.artist || t('unknownArtist'));
    label(row.querySelector('.row-title'), words);
    label(row.querySelector('.row-play'), words);
    setIcon(row.querySelector('.row-glyph'), playing ? 'pause' : 'play');
    const starred = this.#stars.has(song.id);
    const star = row.querySelector('.row-star');
    star.setAttribute('aria-pressed', String(starred));
    label(star, t(starred ? 'unstar' : 'star'));
  }

  #clicked(event) {
    const button = event.target.closest('[data-do]');
    const row = event.target.closest('li');
    if (!button || !row) return;
    const box = button.getBoundingClientRect();
    this.#tell(button.dataset.do, row, { x: box.right, y: box.bottom, button });
  }

  #tell(what, row, more = {}) {
    this.dispatchEvent(new CustomEvent(what, { detail: { song: row.song, ...more } }));
  }

  #pressed(event) {
    const rows = [...$('songs').children];
    const at = rows.indexOf(event.target.closest('li'));
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.key === 'Home') this.#focus(0);
    else if (event.key === 'End') this.#focus(rows.length - 1);
    else if (!step) return;
    else if (at + step < 0 && step === -1) $('search').focus();
    else this.#focus(Math.min(Math.max(at + step, 0), rows.length - 1));
    event.preventDefault();
  }

  #focus(at) {
    const row = $('songs').children[at];
    if (!row) return;
    const before = $('songs').querySelector('[tabindex="0"]')?.closest('li');
    if (before) reach(before, false);
    reach(row, true);
    row.querySelector('.row-title').focus();
  }
}

/** One row is in the tab order, the one visited last: a long list is one stop, not hundreds. */
function reach(row, on) {
  for (const button of row.querySelectorAll('.row-title, .row-star, .row-more')) button.tabIndex = on ? 0 : -1;
}

function toggle(button) {
  button.setAttribute('aria-pressed', String(button.getAttribute('aria-pressed') !== 'true'));
}
