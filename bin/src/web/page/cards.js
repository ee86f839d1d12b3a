// Albums and artists as they stand in grids and rows.

import { to } from './address.js';
import { fillCover } from './covers.js';
import { el, icon } from './dom.js';
import { label, t } from './words.js';

/** The narrowest card, and what lies below its cover. */
const CARD_MIN = 148;
const WORDS = 54;

/** The shape of a grid of albums. */
export function albumShape(width) {
  const gap = width < 480 ? 14 : 20;
  const columns = Math.max(2, Math.floor((width + gap) / (CARD_MIN + gap)));
  return { columns, gap, height: Math.floor((width - gap * (columns - 1)) / columns) + WORDS };
}

/** A song that stands for the album's cover. */
export const coverOf = (album) => ({ id: album.first, artist: album.artist, album: album.title });

/** `deeds`: playAlbum(album), albumMenu(album, place). */
export function albumCard(album, deeds) {
  const title = album.title || t('untitled');
  const cover = el('a.cover', { href: to.album(album.id), tabIndex: -1, 'aria-hidden': 'true' });
  fillCover(cover, coverOf(album));
  const play = el('button.card-play', { type: 'button' }, icon('play'));
  label(play, t('playAlbum', title));
  play.addEventListener('click', () => deeds.playAlbum(album));
  const name = el('a.card-title', { href: to.album(album.id), textContent: title });
  const about = [album.artist, album.year || ''].filter(Boolean).join(' · ');
  const card = el('li.card', {}, el('div.card-cover', {}, cover, play), name, el('p.card-more', { textContent: about }));
  card.addEventListener('contextmenu', (event) => {
    event.preventDefault();
    deeds.albumMenu(album, { x: event.clientX, y: event.clientY });
  });
  return card;
}

export function albumGhost() {
  return el('li.card.ghost', {}, el('i.cover'), el('i'));
}

/** What can be done with all songs of an album or an artist. */
export function playAndShuffle(play, shuffle, ...more) {
  const first = el('button.button.main', { type: 'button' }, icon('play'), el('span', { textContent: t('play') }));
  const second = el('button.button', { type: 'button' }, icon('shuffle'), el('span', { textContent: t('shufflePlay') }));
  first.addEventListener('click', play);
  second.addEventListener('click', shuffle);
  return el('div.hero-deeds', {}, first, second, ...more);
}

const COLUMN = 250;

/** The shape of a grid of names. */
export function nameShape(width) {
  const gap = 10;
  return { columns: Math.max(1, Math.floor((width + gap) / (COLUMN + gap))), gap, height: 62 };
}

export function artistCard(artist) {
  return nameCard(to.artist(artist.id), artist.name || t('unknownArtist'),
    [t('albumCount', artist.albums), t('count', artist.songs)].join(' · '));
}

export function nameCard(href, name, more) {
  return el('li.name', {}, el('a', { href },
    el('span.name-mark', { 'aria-hidden': 'true', textContent: initial(name) }),
    el('span.name-words', {}, el('span.name-title', { textContent: name }), el('span.name-more', { textContent: more }))));
}

export function nameGhost() {
  return el('li.name.ghost', {}, el('i'));
}

function initial(name) {
  const letter = /[\p{L}\p{N}]/u.exec(name.replace(/^(the|los|las|el|la) /i, ''));
  return (letter?.[0] ?? '♪').toLocaleUpperCase();
}
