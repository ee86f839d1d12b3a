// The queue as a list: what plays, then what comes. Entries are dragged by pointer, or moved with
// Alt and the arrow keys; Delete removes one.

import { fillCover } from './covers.js';
import { $, el, icon } from './dom.js';
import { label, t } from './words.js';

export class QueueView extends EventTarget {
  #queue;
  #dragged = null;

  constructor(queue) {
    super();
    this.#queue = queue;
    queue.addEventListener('change', () => this.draw());
    $('queue-clear').addEventListener('click', () => queue.clear());
    const list = $('queue');
    list.addEventListener('click', (event) => this.#clicked(event));
    list.addEventListener('keydown', (event) => this.#pressed(event));
    list.addEventListener('pointerdown', (event) => this.#grab(event));
    list.addEventListener('pointermove', (event) => this.#drag(event));
    for (const end of ['pointerup', 'pointercancel']) list.addEventListener(end, (event) => this.#drop(event));
    this.draw();
  }

  draw() {
    const { current, coming } = this.#queue;
    const focused = document.activeElement?.closest?.('#queue li')?.entry;
    const shown = current ? [current, ...coming] : coming;
    $('queue').replaceChildren(...shown.map((entry) => this.#row(entry, entry === current)));
    $('queue-empty').hidden = coming.length > 0;
    $('queue-clear').hidden = coming.length === 0;
    $('queue-count').hidden = coming.length === 0;
    $('queue-count').textContent = coming.length;
    const again = [...$('queue').children].find((row) => row.entry === focused);
    again?.querySelector('.queue-title').focus();
  }

  #row(entry, current) {
    const { song } = entry;
    const title = song.title || t('untitled');
    const cover = el('div.cover');
    fillCover(cover, song);
    const name = el('button.queue-title', { type: 'button', 'data-do': 'jump', textContent: title });
    label(name, t('playSong', title));
    const words = el('div.queue-words', {}, name, el('p.row-artist', { textContent: song.artist || t('unknownArtist') }));
    const row = el('li.queue-row', {}, cover, words);
    row.entry = entry;
    if (current) {
      row.classList.add('here');
      row.setAttribute('aria-current', 'true');
      row.append(el('span.here-word', { textContent: t('playing') }));
      return row;
    }
    const away = el('button.round', { type: 'button', 'data-do': 'remove' }, icon('close'));
    label(away, t('removeEntry', title));
    const grip = el('button.round.grip', { type: 'button' }, icon('grip'));
    label(grip, t('moveEntry', title));
    row.append(away, grip);
    return row;
  }

  #clicked(event) {
    const what = event.target.closest('[data-do]')?.dataset.do;
    const entry = event.target.closest('li')?.entry;
    if (what === 'remove') this.#queue.remove(entry);
    if (what === 'jump') this.dispatchEvent(new CustomEvent('jump', { detail: entry }));
  }

  #pressed(event) {
    const row = event.target.closest('li');
    if (!row) return;
    const coming = this.#queue.coming;
    const at = coming.indexOf(row.entry);
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const moves = event.altKey || event.target.closest('.grip');
    if (event.key === 'Delete') this.#queue.remove(row.entry);
    else if (step && moves && at >= 0) this.#queue.move(row.entry, at + step);
    else if (step) (step > 0 ? row.nextElementSibling : row.previousElementSibling)?.querySelector('.queue-title').focus();
    else return;
    event.preventDefault();
  }

  #grab(event) {
    const row = event.target.closest('.grip')?.closest('li');
    if (!row || event.button !== 0) return;
    event.preventDefault();
    $('queue').setPointerCapture(event.pointerId);
    this.#dragged = { row, y: event.clientY };
    row.classList.add('dragged');
  }

  #drag(event) {
    if (!this.#dragged) return;
    const { row } = this.#dragged;
    const over = [...$('queue').children].find((other) => {
      const box = other.getBoundingClientRect();
      return other !== row && event.clientY > box.top && event.clientY < box.bottom;
    });
    if (!over || over.classList.contains('here')) return;
    const below = over.compareDocumentPosition(row) & Node.DOCUMENT_POSITION_PRECEDING;
    if (below) over.after(row);
    else over.before(row);
  }

  #drop(event) {
    if (!this.#dragged) return;
    const { row } = this.#dragged;
    this.#dragged = null;
    const rows = [...$('queue').children].filter((other) => !other.classList.contains('here'));
    if (event.type === 'pointerup') this.#queue.move(row.entry, rows.indexOf(row));
    else this.draw();
  }
}
