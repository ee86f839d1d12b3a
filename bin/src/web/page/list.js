// The song list: what an address or a search asks for, sorted, and as long as it is.
//
// One list at a time: a later wish ends the questions of the earlier one, so the list never shows the
// answer to something nobody asks any more.
//
// Emits `play`, `menu`, `star` (with `detail`) and `loaded`.

import * as api from './api.js';
import { $, el } from './dom.js';
import { read, write } from './keep.js';
import { Pages } from './pages.js';
import { Rows } from './rows.js';
import { t } from './words.js';
import { Windowed } from './windowed.js';

const ROW = 60;

export class List extends EventTarget {
  pages = Pages.of([]);
  /** Whether the list did not come. */
  failed = false;
  #stars;
  #rows;
  #window = null;
  #scope = { words: '', sort: null };
  #token = 0;

  constructor(stars, picks) {
    super();
    this.#stars = stars;
    const kept = read('list', {});
    $('sort').value = kept.sort ?? 'artist';
    if (!$('sort').value) $('sort').value = 'artist';
    $('direction').setAttribute('aria-pressed', String(kept.descending === true));
    this.#rows = new Rows($('songs'), {
      count: () => this.pages.total ?? 0,
      get: (index) => this.pages.get(index),
      reveal: (index) => this.#window?.reveal(index),
      above: () => $('search').focus(),
    }, { stars, picks });
    for (const name of ['play', 'menu', 'star']) {
      this.#rows.addEventListener(name, ({ detail }) => this.dispatchEvent(new CustomEvent(name, { detail })));
    }
    $('sort').addEventListener('change', () => this.#resort());
    $('direction').addEventListener('click', () => {
      toggle($('direction'));
      this.#resort();
    });
    $('starred').addEventListener('click', () => {
      toggle($('starred'));
      this.load();
    });
  }

  get total() {
    return this.pages.total ?? 0;
  }

  /** What the list shows: words, order, and whether stars alone. */
  get wish() {
    const sort = this.#scope.sort ?? $('sort').value;
    return { words: this.#scope.words, sort, descending: !this.#scope.sort && isPressed($('direction')) };
  }

  get #onlyStars() {
    return isPressed($('starred')) && !$('starred').hidden;
  }

  /**
   * Shows the songs that a search finds. `sort` is an order that belongs to them; without one, the
   * listener's. `typed` are the words to be named in the count.
   */
  show({ words = '', sort = null, typed = '', height = 0 } = {}) {
    this.#scope = { words, sort, typed };
    document.querySelector('.sort').hidden = sort !== null;
    $('starred').hidden = sort !== null;
    return this.load(height);
  }

  /** Asks for the list from its beginning. */
  async load(height = 0) {
    this.#token += 1;
    const token = this.#token;
    $('songs').setAttribute('aria-busy', 'true');
    const pages = this.#onlyStars ? this.#starred() : listed(this.wish);
    try {
      await pages.begin();
      if (token === this.#token) this.#present(pages, height);
    } catch (error) {
      if (error.name !== 'AbortError' && token === this.#token) this.#fail(error);
    } finally {
      if (token === this.#token) $('songs').removeAttribute('aria-busy');
      else pages.end();
    }
  }

  mark(id, playing) {
    this.#rows.mark(id, playing);
  }

  focus(index) {
    this.#rows.focus(index);
  }

  /** Takes the row of a song away that was removed. */
  drop(id) {
    const at = this.pages.find((song) => song.id === id);
    const focused = $('songs').contains(document.activeElement);
    this.pages.remove((song) => song.id === id);
    this.#window?.draw();
    this.#counted();
    if (focused && at >= 0) this.#rows.focus(Math.min(at, this.total - 1));
  }

  refreshStars() {
    if (this.#onlyStars) this.load();
  }

  #resort() {
    write('list', { sort: $('sort').value, descending: isPressed($('direction')) });
    this.load();
  }

  #starred() {
    const { words, sort, descending } = this.wish;
    return Pages.of(this.#stars.list(words, sort, descending));
  }

  #present(pages, height) {
    this.#window?.end();
    this.failed = false;
    this.pages = pages;
    $('songs').replaceChildren();
    this.#window = new Windowed({
      scroller: document.querySelector('.library'),
      list: $('songs'),
      pages,
      shape: () => ({ columns: 1, height: ROW, gap: 0 }),
      draw: (song, index) => this.#rows.row(song, index),
      ghost: () => el('li.row.ghost', {}, el('i.cover'), el('i')),
    });
    document.querySelector('.library').scrollTop = height;
    this.#window.draw();
    this.#rows.reachFirst();
    this.#counted();
    this.dispatchEvent(new Event('loaded'));
  }

  #counted() {
    const { typed } = this.#scope;
    $('count').textContent = typed ? t('found', this.total, typed) : t('count', this.total);
    this.#note(this.total ? null : this.#emptiness(typed));
  }

  #emptiness(words) {
    if (words) return ['noneTitle', t('none')];
    return this.#onlyStars ? ['noStarsTitle', t('noStars')] : ['emptyTitle', t('empty')];
  }

  #fail(error) {
    this.#window?.end();
    this.#window = null;
    this.failed = true;
    this.pages = Pages.of([]);
    $('songs').replaceChildren();
    $('songs').style.height = '0';
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
}

/** The songs of a wish, page by page. */
export function listed(wish) {
  return new Pages(async (place, signal) => {
    const page = await api.songs({ ...wish, ...place }, signal);
    const songs = Array.isArray(page.songs) ? page.songs.filter((song) => song?.id) : [];
    return { items: songs, total: page.total ?? songs.length, next: page.next ?? null };
  });
}

const isPressed = (button) => button.getAttribute('aria-pressed') === 'true';

function toggle(button) {
  button.setAttribute('aria-pressed', String(!isPressed(button)));
}
