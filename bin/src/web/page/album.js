// One album: its cover, its songs by disc, and what can be done with it as a whole.

import { to } from './address.js';
import * as api from './api.js';
import { coverOf, playAndShuffle } from './cards.js';
import { fillCover } from './covers.js';
import { el, icon, size, span } from './dom.js';
import { Pages } from './pages.js';
import { Rows } from './rows.js';
import { label, t } from './words.js';

export class AlbumView {
  #pages;
  #album;
  #deeds;
  #rows;
  #discs = new Map();
  #host = el('div.discs');
  #shown = 0;

  /** The view of an album, once its first songs have come. */
  static async of(id, signal, parts) {
    const { pages, album } = await albumPages(id, signal);
    signal.throwIfAborted();
    return new AlbumView(album, pages, parts);
  }

  constructor(album, pages, { stars, picks, deeds }) {
    this.#album = album;
    this.#pages = pages;
    this.#deeds = deeds;
    this.title = album.title || t('untitled');
    this.#rows = new Rows(this.#host, {
      count: () => this.#shown,
      get: (index) => pages.get(index),
      reveal: (index) => this.#reveal(index),
      above: () => this.#deeds.search(),
    }, { stars, picks });
    const wish = albumWish(album.id);
    this.#rows.addEventListener('play', ({ detail }) => deeds.playRow(detail, pages, wish));
    this.#rows.addEventListener('menu', ({ detail }) => deeds.menu(detail));
    this.#rows.addEventListener('star', ({ detail }) => stars.toggle(detail.song));
    this.nodes = [this.#hero(), this.#host];
    this.#grow();
  }

  /** Goes on until all songs are here; gives what ends that. */
  start() {
    const grow = () => this.#grow();
    this.#pages.addEventListener('change', grow);
    this.#pages.want(0, this.#album.songs - 1);
    this.#rows.reachFirst();
    return () => {
      this.#pages.removeEventListener('change', grow);
      this.#pages.end();
    };
  }

  mark(id, playing) {
    this.#rows.mark(id, playing);
  }

  drop(id) {
    const row = [...this.#host.querySelectorAll('li.row')].find((one) => one.song.id === id);
    row?.remove();
  }

  #hero() {
    const album = this.#album;
    const cover = el('div.cover.hero-cover');
    fillCover(cover, coverOf(album), { lazy: false });
    const facts = [
      album.year || '', t('count', album.songs), span(album.duration_ms / 1000), size(album.bytes),
      album.discs > 1 ? t('discCount', album.discs) : '',
    ];
    const more = el('button.round', { type: 'button', 'aria-haspopup': 'menu' }, icon('more'));
    label(more, t('more', this.title));
    more.addEventListener('click', () => {
      const box = more.getBoundingClientRect();
      this.#deeds.albumMenu(album, { x: box.right, y: box.bottom, button: more });
    });
    return el('div.hero', {}, cover, el('div.hero-words', {},
      el('p.hero-kind', { textContent: t('album') }),
      el('h1', { textContent: this.title, tabIndex: -1 }),
      el('p.hero-artist', {}, el('a', { href: to.artist(album.artist_id), textContent: album.artist || t('unknownArtist') })),
      el('p.hero-more', { textContent: facts.filter(Boolean).join(' · ') }),
      playAndShuffle(() => this.#deeds.playAlbum(album), () => this.#deeds.shuffleAlbum(album), more)));
  }

  #grow() {
    for (let song = this.#pages.get(this.#shown); song; song = this.#pages.get(this.#shown)) {
      const row = this.#rows.row(song, this.#shown, { numbered: true });
      if (song.artist === this.#album.artist) row.querySelector('.row-artist').remove();
      this.#disc(song.disc || 1).append(row);
      this.#shown += 1;
    }
  }

  #disc(number) {
    let disc = this.#discs.get(number);
    if (disc) return disc;
    const title = t('disc', number);
    disc = el('ul.songs', { 'aria-label': this.#album.discs > 1 ? title : t('songs') });
    if (this.#album.discs > 1) this.#host.append(el('h2.disc', { textContent: title }));
    this.#host.append(disc);
    this.#discs.set(number, disc);
    return disc;
  }

  #reveal(index) {
    const row = [...this.#host.querySelectorAll('li.row')].find((one) => one.index === index);
    row?.scrollIntoView({ block: 'nearest' });
    return row;
  }
}

/** How the songs of an album are asked for as a list. */
export const albumWish = (id) => ({ words: `albumid:${id}`, sort: 'album', descending: false });

/** The songs of an album in order, and the album. */
async function albumPages(id, signal) {
  let album = null;
  const pages = new Pages(async ({ after, from }, own) => {
    const first = after ? Number(after) : from ?? 0;
    const page = await api.album(id, first, own);
    album = page.album;
    const end = first + page.songs.length;
    return { items: page.songs, total: album.songs, next: page.songs.length && end < album.songs ? String(end) : null };
  });
  signal.addEventListener('abort', () => !album && pages.end());
  await pages.begin();
  return { pages, album };
}
