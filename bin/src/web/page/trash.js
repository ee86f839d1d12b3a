// The trash: what was removed and can be taken back, or goes for good. Only where this page may
// remove songs at all: the server says so. Emits `changed`.

import * as api from './api.js';
import { $, el, icon } from './dom.js';
import { label, t } from './words.js';

export class Trash extends EventTarget {
  allowed = false;
  #after = null;

  constructor() {
    super();
    $('trash').addEventListener('click', () => {
      $('trash-dialog').showModal();
      this.load();
    });
    $('trash-more').addEventListener('click', () => this.#page(this.#after));
  }

  /** Asks whether there may be a trash, and shows the way to it. */
  async look() {
    try {
      const { allowed, total } = await api.trash(null, 1);
      this.allowed = allowed === true;
      this.#count(total);
    } catch {
      this.allowed = false; // A cluster of an earlier version has none.
    }
    $('trash').hidden = !this.allowed;
  }

  /** Shows the trash from its beginning. */
  load() {
    $('trashed').replaceChildren();
    return this.#page(null);
  }

  /** Takes a song back. */
  async restore(id) {
    await api.restore(id);
    this.#changed(id);
  }

  async #page(after) {
    try {
      const { songs, total, next } = await api.trash(after);
      this.#after = next;
      this.#count(total);
      $('trashed').append(...songs.map((song) => this.#row(song)));
      $('trash-more').hidden = !next;
      this.#say(total ? '' : t('trashEmpty'));
    } catch (error) {
      this.#say(error.message);
    }
  }

  #row(song) {
    const title = song.title || t('untitled');
    const back = el('button.button', { type: 'button', textContent: t('restore') });
    label(back, t('restoreSong', title));
    const away = el('button.round', { type: 'button' }, icon('close'));
    label(away, t('removeForGood', title));
    const row = el('li.trashed', {},
      el('div.up-words', {}, el('p.up-name', { textContent: title }),
        el('p.up-state', { textContent: [song.artist || t('unknownArtist'), t('goesIn', days(song.left_s))].join(', ') })),
      back, away);
    row.dataset.id = song.id;
    back.addEventListener('click', () => this.#do(row, () => this.restore(song.id)));
    away.addEventListener('click', () => this.#do(row, async () => {
      if (!confirm(t('removeForGoodSure', title))) return;
      await api.purge(song.id);
      this.#changed(song.id);
    }));
    return row;
  }

  async #do(row, deed) {
    for (const button of row.querySelectorAll('button')) button.disabled = true;
    try {
      await deed();
    } catch (error) {
      this.#say(error.message);
    }
    for (const button of row.querySelectorAll('button')) button.disabled = false;
  }

  #changed(id) {
    const row = [...$('trashed').children].find((one) => one.dataset.id === id);
    row?.remove();
    if (!$('trashed').children.length) this.#say(t('trashEmpty'));
    this.dispatchEvent(new Event('changed'));
  }

  #say(words) {
    $('trash-note').textContent = words;
  }

  #count(total) {
    $('trash-count').hidden = !total;
    $('trash-count').textContent = total;
  }
}

/** Whole days, at least one: how long it can still be taken back. */
const days = (seconds) => Math.max(1, Math.round(seconds / 86400));
