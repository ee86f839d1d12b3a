// A song's menu: one popover that moves to where it is asked for. The browser closes it on Escape
// and on a click elsewhere; the focus goes back to the button that opened it.

import { $, el, icon } from './dom.js';

let opener = null;

/**
 * Opens with `entries` near a point: `{ icon, text, run }`, `{ icon, text, href }`, `{ text, checked, run }` for
 * one of several choices, or `{ title }` above some of them.
 */
export function openMenu(entries, { x, y, button }) {
  const menu = $('menu');
  opener = button ?? document.activeElement;
  menu.replaceChildren(...entries.map(item));
  menu.showPopover();
  const width = menu.offsetWidth;
  const height = menu.offsetHeight;
  menu.style.left = `${Math.max(8, Math.min(button ? x - width : x, innerWidth - width - 8))}px`;
  menu.style.top = `${y + height + 8 > innerHeight ? Math.max(8, y - height - (button ? 40 : 0)) : y + 4}px`;
  (menu.querySelector('[aria-checked="true"]') ?? menu.querySelector('.menu-item')).focus();
}

function item(entry) {
  if (entry.title) return el('div.menu-title', { role: 'presentation', textContent: entry.title });
  const choice = entry.checked !== undefined;
  const made = entry.href
    ? el('a.menu-item', { href: entry.href, download: '' })
    : el('button.menu-item', { type: 'button' });
  made.setAttribute('role', choice ? 'menuitemradio' : 'menuitem');
  if (choice) made.setAttribute('aria-checked', String(entry.checked));
  made.tabIndex = -1;
  made.append(icon(choice ? 'check' : entry.icon), el('span', { textContent: entry.text }));
  made.addEventListener('click', () => {
    $('menu').hidePopover();
    entry.run?.();
  });
  return made;
}

export function attendMenu() {
  const menu = $('menu');
  menu.addEventListener('keydown', (event) => {
    const items = [...menu.querySelectorAll('.menu-item')];
    const at = items.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
    if (event.key === 'Tab') menu.hidePopover();
    if (to === undefined) return;
    event.preventDefault();
    items.at(to % items.length).focus();
  });
  menu.addEventListener('toggle', (event) => {
    if (event.newState === 'closed' && (menu.contains(document.activeElement) || document.activeElement === document.body)) opener?.focus?.();
  });
}
