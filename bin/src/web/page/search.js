// The search box: as one types, the address becomes that of the search; emptied, it leads back to
// where the search began.

import { to } from './address.js';
import { $, debounce } from './dom.js';

const TYPING_MS = 200;
const WORDS_MAX = 200;

/** `found`: leads the focus to the first song found. */
export function attendSearch(address, found) {
  const search = $('search');
  let began = null;
  const soon = debounce(TYPING_MS, () => {
    const words = search.value.trim().slice(0, WORDS_MAX);
    const searching = address.here.view === 'search';
    if (!words) {
      if (searching) address.go(began ?? to.songs(), { replace: true });
      return;
    }
    if (!searching) began = location.hash || to.home();
    address.go(to.search(words), { replace: searching });
  });
  search.addEventListener('input', soon);
  search.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') soon.now();
    if (event.key === 'Enter' || event.key === 'ArrowDown') {
      event.preventDefault();
      found();
    } else if (event.key === 'Escape') {
      if (!search.value) return search.blur();
      search.value = '';
      soon.now();
      event.preventDefault();
    }
  });
  address.addEventListener('go', ({ detail }) => {
    if (document.activeElement === search && detail.view === 'search') return;
    search.value = detail.view === 'search' ? detail.what : '';
  });
}
