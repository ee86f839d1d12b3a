// The views of the library: what stands above the list of songs, or instead of it. Each is built from
// what the server answers, and dropped when another one comes.

import { to } from './address.js';
import { AlbumView } from './album.js';
import * as api from './api.js';
import { albumCard, albumGhost, albumShape, artistCard, nameCard, nameGhost, nameShape, playAndShuffle } from './cards.js';
import { $, el, icon } from './dom.js';
import { randomAlbums, recentAlbums } from './home.js';
import { read, write } from './keep.js';
import { Pages } from './pages.js';
import { t } from './words.js';
import { Windowed } from './windowed.js';

/** Results of each kind above the songs of a search. */
const FOUND_ARTISTS = 6;
const FOUND_ALBUMS = 12;

const ALBUM_SORTS = ['artist', 'title', 'year', 'added'];

export class Views {
  title = '';
  /** Whether the view could not be shown. */
  failed = false;
  #list;
  #deeds;
  #parts;
  #token = 0;
  #question = new AbortController();
  #end = () => {};
  #album = null;
  #current = [null, false];

  /** `deeds`: what cards and pages ask for; `parts`: `stars` and `picks`. */
  constructor(list, deeds, parts) {
    this.#list = list;
    this.#deeds = deeds;
    this.#parts = parts;
  }

  /** Shows what an address stands for, once it has come. */
  async show({ view, what, height, byUser }) {
    this.#token += 1;
    const token = this.#token;
    this.#question.abort();
    this.#question = new AbortController();
    $('place').setAttribute('aria-busy', 'true');
    let built;
    try {
      built = await this.#build(view, what, this.#question.signal);
    } catch (error) {
      if (error.name === 'AbortError') return;
      built = this.#failure(error);
    }
    if (token !== this.#token) return;
    this.failed = built.failed === true;
    this.#put(view, built);
    if (built.songs) await this.#list.show({ ...built.songs, height });
    document.querySelector('.library').scrollTop = height;
    if (byUser && !searches()) ($('place').querySelector('h1') ?? $('library-title')).focus({ preventScroll: true });
  }

  /** Marks the row of the song that plays. */
  mark(id, playing) {
    this.#current = [id, playing];
    this.#album?.mark(id, playing);
  }

  /** Takes a song that was removed out of the album that is shown. */
  drop(id) {
    this.#album?.drop(id);
  }

  #put(view, built) {
    this.#end();
    this.#album = built.album ?? null;
    document.body.dataset.place = view;
    $('place').removeAttribute('aria-busy');
    $('place').replaceChildren(...built.nodes);
    $('songs-view').hidden = !built.songs;
    $('library-title').textContent = built.songs?.heading ?? built.title;
    this.title = built.title;
    const section = { album: 'albums', artist: 'artists', genre: 'genres', year: 'genres', search: 'songs' }[view] ?? view;
    for (const link of document.querySelectorAll('.places a')) {
      if (link.dataset.place === section) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
    this.#end = built.start?.() ?? (() => {});
    this.#album?.mark(...this.#current);
  }

  #build(view, what, signal) {
    switch (view) {
      case 'albums': return this.#albums(signal);
      case 'artists': return this.#artists();
      case 'genres': return this.#genres(signal);
      case 'album': return this.#oneAlbum(what, signal);
      case 'artist': return this.#artist(what, signal);
      case 'search': return this.#search(what, signal);
      case 'songs': return { title: t('songs'), nodes: [], songs: {} };
      case 'genre': return { title: what, nodes: [], songs: { words: `genre:"${what.replace(/["“”«»]/g, ' ')}"` } };
      case 'year': return { title: what, nodes: [], songs: { words: `year:${Number.parseInt(what, 10) || 0}` } };
      default: return this.#home(signal);
    }
  }

  async #home(signal) {
    const [recent, random] = await Promise.all([recentAlbums(signal), randomAlbums(false, signal)]);
    if (!random.length) return { title: t('home'), nodes: [heading(t('home')), note('emptyTitle', t('empty'))] };
    const shown = this.#shelf(random);
    const again = el('button.round', { type: 'button', title: t('others'), 'aria-label': t('others') }, icon('load'));
    again.addEventListener('click', async () => shown.replaceChildren(...this.#cards(await randomAlbums(true))));
    const nodes = [el('h1.unseen', { textContent: t('home'), tabIndex: -1 })];
    if (recent.length) nodes.push(shelfHead(t('recentlyAdded')), this.#shelf(recent));
    nodes.push(shelfHead(t('randomAlbums'), again), shown);
    return { title: t('home'), nodes };
  }

  #cards(albums) {
    return albums.map((album) => albumCard(album, this.#deeds));
  }

  #shelf(albums) {
    return el('ul.shelf-row', { tabIndex: -1 }, ...this.#cards(albums));
  }

  async #albums(signal) {
    const kept = read('albums', {});
    const sort = ALBUM_SORTS.includes(kept.sort) ? kept.sort : 'artist';
    const wish = { sort, descending: sort === 'added' };
    const pages = albumPages(wish);
    await pages.begin();
    signal.throwIfAborted();
    const choice = el('select', { 'aria-label': t('sortBy') },
      ...ALBUM_SORTS.map((one) => el('option', { value: one, textContent: t(`albums_${one}`), selected: one === sort })));
    choice.addEventListener('change', () => {
      write('albums', { sort: choice.value });
      this.show({ view: 'albums', what: '', height: 0, byUser: false });
    });
    const head = el('div.library-head', {}, heading(t('albums')), el('p.count', { textContent: t('albumCount', pages.total) }),
      el('div.tools', {}, el('div.sort', {}, choice)));
    return { title: t('albums'), ...this.#grid(pages, [head]) };
  }

  /** A windowed grid of albums below some nodes. */
  #grid(pages, above) {
    const list = el('ul.cards');
    const empty = pages.total ? [] : [note('emptyTitle', t('empty'))];
    const start = () => windowed({ list, pages, shape: albumShape, draw: (album) => albumCard(album, this.#deeds), ghost: albumGhost });
    return { nodes: [...above, list, ...empty], start };
  }

  async #artists() {
    const pages = new Pages(async (place, signal) => {
      const { artists, total, next } = await api.artists(place, signal);
      return { items: artists, total, next };
    });
    await pages.begin();
    const list = el('ul.names');
    const head = el('div.library-head', {}, heading(t('artists')), el('p.count', { textContent: t('artistCount', pages.total) }));
    const start = () => windowed({ list, pages, shape: nameShape, draw: artistCard, ghost: nameGhost });
    return { title: t('artists'), nodes: [head, list], start };
  }

  async #genres(signal) {
    const ask = async (place, own) => {
      const { values, total, next } = await api.genres(place, own);
      return { items: values, total, next };
    };
    const pages = new Pages(ask);
    const [years] = await Promise.all([api.years({ limit: 100 }, signal), pages.begin()]);
    const list = el('ul.names');
    const chips = years.values.map(({ name, songs }) =>
      el('li', {}, el('a.chip', { href: to.year(name), textContent: name, title: t('count', songs) })));
    const nodes = [el('div.library-head', {}, heading(t('genres')), el('p.count', { textContent: t('genreCount', pages.total) })), list];
    if (chips.length) nodes.push(shelfHead(t('years')), el('ul.chips', {}, ...chips));
    const draw = ({ name, songs }) => nameCard(to.genre(name), name, t('count', songs));
    return { title: t('genres'), nodes, start: () => windowed({ list, pages, shape: nameShape, draw, ghost: nameGhost }) };
  }

  async #oneAlbum(id, signal) {
    const album = await AlbumView.of(id, signal, { ...this.#parts, deeds: this.#deeds });
    return { title: album.title, nodes: album.nodes, album, start: () => album.start() };
  }

  async #artist(id, signal) {
    const found = await api.artists({ words: `artistid:${id}`, limit: 1 }, signal);
    const [artist] = found.artists;
    if (!artist) throw new api.Failure(t('noArtist'));
    const pages = albumPages({ artist: id, sort: 'year' });
    await pages.begin();
    signal.throwIfAborted();
    const songs = { words: `artistid:${id}`, sort: 'album' };
    const wish = { ...songs, descending: false };
    const head = el('div.hero', {},
      el('span.hero-mark', { 'aria-hidden': 'true', textContent: artist.name.slice(0, 1).toLocaleUpperCase() }),
      el('div.hero-words', {}, el('p.hero-kind', { textContent: t('artist') }), heading(artist.name || t('unknownArtist')),
        el('p.hero-more', { textContent: [t('albumCount', artist.albums), t('count', artist.songs)].join(' · ') }),
        playAndShuffle(() => this.#deeds.playAll(wish), () => this.#deeds.shuffleAll(wish))));
    const above = pages.total ? [head, shelfHead(t('albums'))] : [head];
    const grid = this.#grid(pages, above);
    if (!pages.total) grid.nodes = above;
    return { ...grid, title: artist.name, songs: { ...songs, heading: t('songs') } };
  }

  async #search(words, signal) {
    const [artists, albums] = await Promise.all([
      api.artists({ words, limit: FOUND_ARTISTS }, signal),
      api.albums({ words, sort: 'title', limit: FOUND_ALBUMS }, signal),
    ]);
    const nodes = [];
    if (artists.artists.length) {
      const list = el('ul.names.few', {}, ...artists.artists.map(artistCard));
      nodes.push(shelfHead(t('artists')), list);
    }
    if (albums.albums.length) nodes.push(shelfHead(t('albums')), this.#shelf(albums.albums));
    return { title: t('songs'), nodes, songs: { words, typed: words } };
  }

  #failure(error) {
    const again = el('button.button', { type: 'button', textContent: t('retry') });
    again.addEventListener('click', () => dispatchEvent(new PopStateEvent('popstate')));
    return { failed: true, title: '', nodes: [el('div.note', {}, el('h1', { textContent: t('listFailedTitle'), tabIndex: -1 }), el('p', { textContent: error.message }), again)] };
  }
}

/** Attaches a windowed list; gives what ends it. */
function windowed({ list, pages, ...rest }) {
  const made = new Windowed({ scroller: document.querySelector('.library'), list, pages, ...rest });
  return () => {
    made.end();
    pages.end();
  };
}

function albumPages(wish) {
  return new Pages(async (place, signal) => {
    const { albums, total, next } = await api.albums({ ...wish, ...place }, signal);
    return { items: albums, total, next };
  });
}

function heading(words) {
  return el('h1', { textContent: words, tabIndex: -1 });
}

function shelfHead(words, ...more) {
  return el('div.shelf-head', {}, el('h2', { textContent: words }), ...more);
}

function note(title, words) {
  return el('div.note', {}, el('h2', { textContent: t(title) }), el('p', { textContent: words }));
}

/** Whether somebody is typing a search: the focus stays there. */
const searches = () => document.activeElement === $('search');
