// The bar below the library, as long as songs are chosen: what can be done with all of them.

import { $ } from './dom.js';
import { t } from './words.js';

/** `deeds`: play, next, last, star (each takes the songs), remove (takes one), and mayRemove. */
export function attendPicks(picks, deeds) {
  for (const name of ['play', 'next', 'last', 'star', 'none']) {
    $(`picks-${name}`).addEventListener('click', () => {
      deeds[name]?.(picks.songs);
      picks.clear();
    });
  }
  $('picks-remove').addEventListener('click', async () => {
    const { songs } = picks;
    if (!confirm(t('removeMany', songs.length))) return;
    picks.clear();
    for (const song of songs) await deeds.remove(song);
  });
  picks.addEventListener('change', () => {
    $('picks').hidden = picks.size === 0;
    $('picks-remove').hidden = !deeds.mayRemove();
    $('picks-count').textContent = t('pickedCount', picks.size);
  });
}
