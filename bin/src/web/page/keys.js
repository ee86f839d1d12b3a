// Keys for everything, but none while somebody types or a dialog is open; and never one that the
// focused control needs for itself.

import { $, el } from './dom.js';
import { t } from './words.js';

const HELP = [
  ['k_play', 'Space', 'k'], ['k_seek', 'j', 'l', '⇧ ←', '⇧ →'], ['k_next', 'n', 'p'], ['k_search', '/'],
  ['k_list', '↑', '↓', '⏎'], ['k_shuffle', 's'], ['k_repeat', 'r'], ['k_star', 'f'], ['k_mute', 'm'],
  ['k_queue', 'q'], ['k_lyrics', 'y'], ['k_pick', 'x', '⇧ ↑', '⇧ ↓'], ['k_back', 'Alt ←'], ['k_home', 'h'], ['k_albums', 'a'], ['k_help', '?'],
];

/** `deeds`: play, back, on, next, previous, search, mute, shuffle, repeat, star, queue, lyrics, home, albums. */
export function attendKeys(deeds) {
  for (const [words, ...keys] of HELP) {
    $('keys').append(el('dt', {}, ...keys.map((key) => el('kbd', { textContent: key }))), el('dd', { textContent: t(words) }));
  }
  $('help').addEventListener('click', () => $('help-dialog').showModal());
  for (const dialog of document.querySelectorAll('dialog')) {
    dialog.addEventListener('click', (event) => {
      if (event.target === dialog || event.target.closest('[data-close]')) dialog.close();
    });
  }
  const table = {
    k: deeds.play, j: deeds.back, l: deeds.on, n: deeds.next, p: deeds.previous, '/': deeds.search, m: deeds.mute,
    s: deeds.shuffle, r: deeds.repeat, f: deeds.star, q: deeds.queue, y: deeds.lyrics, h: deeds.home, a: deeds.albums, '?': () => $('help-dialog').showModal(),
  };
  addEventListener('keydown', (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey || busy(event.target)) return;
    const deed = find(event, table, deeds);
    if (!deed) return;
    event.preventDefault();
    deed();
  });
}

function find(event, table, deeds) {
  if (event.shiftKey && event.key === 'ArrowLeft') return deeds.back;
  if (event.shiftKey && event.key === 'ArrowRight') return deeds.on;
  // A held key must not run through the whole queue.
  if (event.repeat && !'jl'.includes(event.key)) return null;
  if (event.key === ' ') return event.target.closest('button, a, select') ? null : deeds.play;
  return table[event.key.length === 1 ? event.key.toLowerCase() : ''];
}

function busy(target) {
  if (document.querySelector('dialog[open], [popover]:popover-open')) return true;
  return target.closest?.('input:not([type="range"]), textarea, select, [contenteditable]') !== null;
}
