// Puts the parts together: who hears whom. No part knows another but through here or through what
// it was given.

import { Address, to } from './address.js';
import { albumWish } from './album.js';
import * as api from './api.js';
import { Bar } from './bar.js';
import { Cluster } from './cluster.js';
import { $, el } from './dom.js';
import { formatName, isPlayable, learnFormat } from './formats.js';
import { mixed } from './home.js';
import { Stars, read } from './keep.js';
import { attendKeys } from './keys.js';
import { List, listed } from './list.js';
import { Lyrics } from './lyrics.js';
import { attendMenu, openMenu } from './menu.js';
import { attendOffline, keepHeard } from './offline.js';
import { attendPicks } from './pick-bar.js';
import { Picks } from './picks.js';
import { Player } from './player.js';
import { Queue } from './queue.js';
import { QueueView } from './queue-view.js';
import { Ring } from './ring.js';
import { attendSearch } from './search.js';
import { attendSession, placeSession, showSession } from './session.js';
import { Side } from './side.js';
import { attendSound } from './sound.js';
import { Sources } from './sources.js';
import { Strip } from './strip.js';
import { Loudness, Tags } from './tags.js';
import { SleepTimer } from './timer.js';
import { Trail } from './trail.js';
import { Trash } from './trash.js';
import { Uploads } from './upload.js';
import { Views } from './views.js';
import { fillWords, t } from './words.js';

fillWords(document);

const stars = new Stars();
const queue = new Queue();
const cluster = new Cluster();
const sources = new Sources();
const player = new Player(...document.querySelectorAll('audio'));
const picks = new Picks();
const list = new List(stars, picks);
const side = new Side(cluster, player);
const ring = new Ring(cluster);
const strip = new Strip(player, sources, cluster);
const bar = new Bar({ player, queue, stars, sources, cluster, strip });
const uploads = new Uploads();
const queueView = new QueueView(queue);
const trash = new Trash();
const trail = new Trail();
const tags = new Tags();
const loudness = new Loudness();
const lyrics = new Lyrics();
const timer = new SleepTimer();
const library = document.querySelector('.library');
const address = new Address(() => library.scrollTop);

queue.follow = (song, byChance) => trail.following(song, byChance);

// Deeds: what buttons, keys and the system's controls ask for.

/** Songs that are passed over because this browser cannot play them, before the music ends. */
const SILENT_MAX = 50;

/** Counts what was asked to be played. */
let turns = 0;

/** Plays an entry of the queue, or the next one that this browser can play. */
async function playEntry(entry) {
  turns += 1;
  const turn = turns;
  for (let passed = 0; entry && passed < SILENT_MAX; passed += 1) {
    await learnFormat(entry.song);
    // Something else was asked for meanwhile.
    if (turn !== turns) return;
    if (isPlayable(entry.song)) break;
    tellSilent(entry.song);
    entry = queue.repeat === 'one' ? null : queue.advance(true);
  }
  if (entry) player.load(entry.song);
  else player.stop();
}

function tellSilent(song) {
  toast(t('format', formatName(song)), { text: t('download'), href: api.downloadUrl(song.id) });
}

async function playSong(song) {
  await learnFormat(song);
  if (song.id === player.song?.id && player.wish !== 'stopped') toggle();
  else if (isPlayable(song)) playEntry(queue.playNow(song));
  else tellSilent(song);
}

/** A song of a list or an album: the music goes on from there. */
function playRow({ song, index }, pages, wish) {
  trail.begin(pages, index, wish);
  playSong(song);
}

async function toggle() {
  if (player.playing) return player.pause();
  if (player.song) return player.play();
  if (queue.current) return playEntry(queue.current);
  if (!trail.length) await beginAnywhere();
  return playEntry(queue.advance(false));
}

/** Nothing was played yet: the list that is shown, or else all songs. */
async function beginAnywhere() {
  const shown = !$('songs-view').hidden && list.total > 0;
  const wish = shown ? list.wish : { sort: 'album', descending: false };
  try {
    trail.begin(shown ? list.pages : await listed(wish).begin(), -1, wish);
  } catch (error) {
    toast(error.message);
  }
}

/** As many songs as a queue takes. */
const SONGS_MAX = 500;

/** Does something with all songs of an album or an artist. */
async function withSongs(wish, deed) {
  try {
    const pages = await listed(wish).begin();
    await pages.want(0, Math.min(pages.total, SONGS_MAX) - 1);
    const songs = pages.here.slice(0, SONGS_MAX);
    if (songs.length) deed(songs, pages);
  } catch (error) {
    toast(error.message);
  }
}

const playAll = (wish) => withSongs(wish, (songs, pages) => {
  trail.begin(pages, songs.length - 1, wish);
  playEntry(queue.playAll(songs));
});
const shuffleAll = (wish) => withSongs(wish, (songs, pages) => {
  trail.begin(pages, songs.length - 1, wish);
  playEntry(queue.playAll(mixed(songs)));
});

function albumMenu(album, place) {
  const wish = albumWish(album.id);
  const title = album.title || t('untitled');
  openMenu([
    { icon: 'play', text: t('playNow'), run: () => playAll(wish) },
    { icon: 'shuffle', text: t('shufflePlay'), run: () => shuffleAll(wish) },
    { icon: 'next', text: t('playNext'), run: () => withSongs(wish, (songs) => (queue.allNext(songs), toast(t('addedNext', title)))) },
    { icon: 'queue', text: t('addLast'), run: () => withSongs(wish, (songs) => (queue.allLast(songs), toast(t('addedLast', title)))) },
    { icon: 'artist', text: t('toArtist'), run: () => address.go(to.artist(album.artist_id)) },
  ], place);
}

const deeds = {
  playAlbum: (album) => playAll(albumWish(album.id)),
  shuffleAlbum: (album) => shuffleAll(albumWish(album.id)),
  playAll, shuffleAll, albumMenu, playRow, menu: (detail) => songMenu(detail), search: () => $('search').focus(),
};
const views = new Views(list, deeds, { stars, picks });

/** The present view once more, as it is on the server now. */
const refresh = () => views.show({ ...address.here, height: library.scrollTop, byUser: false });

/** To the album or the artist of a song: the list names them by their words alone. */
async function goTo(kind, song) {
  const quoted = (text) => `"${text.replace(/["“”«»]/g, ' ')}"`;
  const album = `album:${quoted(song.album || '')}`;
  const artist = `artist:${quoted(song.artist || '')}`;
  try {
    const [one] = kind === 'album'
      ? (await api.albums({ words: song.artist ? `${album} ${artist}` : album, limit: 1 })).albums
      : (await api.artists({ words: artist, limit: 1 })).artists;
    address.go(one ? to[kind](one.id) : to.search(kind === 'album' ? album : artist));
  } catch (error) {
    toast(error.message);
  }
}

function next() {
  const entry = queue.advance(false);
  if (entry) playEntry(entry);
}

/** To the beginning first, to the song before on the second press. */
function previous() {
  if (player.position > 3 || queue.index <= 0) player.seek(0);
  else playEntry(queue.back());
}

function star(song = player.song) {
  if (song) stars.toggle(song);
}

function mute() {
  player.setVolume(player.volume || 0.5, !player.muted);
}

const skip = (by) => player.seek(player.position + by);
const shuffle = () => queue.setShuffle(!queue.shuffle);
const repeat = () => queue.turnRepeat();

function songMenu({ song, ...place }) {
  const title = song.title || t('untitled');
  const starred = stars.has(song.id);
  openMenu([
    { icon: 'play', text: t('playNow'), run: () => playEntry(queue.playNow(song)) },
    { icon: 'next', text: t('playNext'), run: () => (queue.playNext(song), toast(t('addedNext', title))) },
    { icon: 'queue', text: t('addLast'), run: () => (queue.addLast(song), toast(t('addedLast', title))) },
    { icon: 'star', text: t(starred ? 'unstar' : 'star'), run: () => stars.toggle(song) },
    { icon: 'check', text: t(picks.has(song.id) ? 'unpick' : 'pick'), run: () => picks.toggle(song, place.index ?? null) },
    ...(song.album ? [{ icon: 'album', text: t('toAlbum'), run: () => goTo('album', song) }] : []),
    ...(song.artist ? [{ icon: 'artist', text: t('toArtist'), run: () => goTo('artist', song) }] : []),
    { icon: 'download', text: t('download'), href: api.downloadUrl(song.id) },
    ...(trash.allowed ? [{ icon: 'trash', text: t('remove'), run: () => remove(song) }] : []),
  ], place);
}

/** Into the trash, with a way back at hand. */
async function remove(song) {
  const title = song.title || t('untitled');
  try {
    const canGoBack = await api.remove(song.id);
    list.drop(song.id);
    views.drop(song.id);
    trash.look();
    if (canGoBack) toast(t('removed', title), { text: t('undo'), run: () => undo(song) });
    else toast(t('removedForGood', title));
  } catch (error) {
    toast(error.message);
  }
}

async function undo(song) {
  try {
    await trash.restore(song.id);
    toast(t('restored', song.title || t('untitled')));
  } catch (error) {
    toast(error.message);
  }
}

let toastTimer = 0;
function toast(words, deed = null) {
  $('toast').replaceChildren(words);
  if (deed) {
    const button = deed.href ? el('a.toast-deed', { href: deed.href, download: '', textContent: deed.text })
      : el('button.toast-deed', { type: 'button', textContent: deed.text });
    button.addEventListener('click', () => {
      $('toast').classList.remove('shown');
      deed.run?.();
    });
    $('toast').append(button);
  }
  $('toast').classList.add('shown');
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => $('toast').classList.remove('shown'), deed ? 10000 : 3500);
}

// The list, the queue, the stars.

list.addEventListener('play', ({ detail }) => playRow(detail, list.pages, list.wish));
list.addEventListener('menu', ({ detail }) => songMenu(detail));
list.addEventListener('star', ({ detail }) => stars.toggle(detail.song));
queueView.addEventListener('jump', ({ detail }) => {
  if (detail === queue.current) toggle();
  else playEntry(queue.jump(detail));
});
queue.addEventListener('change', () => bar.state());
stars.addEventListener('change', () => {
  bar.song();
  list.refreshStars();
});

// The player.

let announced = null;
player.addEventListener('song', () => {
  const { song, details } = player;
  if (details) sources.learn(details.id, details.cached);
  bar.song();
  strip.draw();
  showSession(song);
  if (song) tags.learn(song.id);
  lyrics.show(song, tags.of(song?.id));
  if (song.id === announced || !player.playing) return;
  announced = song.id;
  $('live').textContent = t('nowPlaying', song.title || t('untitled'), song.artist || t('unknownArtist'));
});
player.addEventListener('state', () => {
  bar.state();
  bar.source();
  side.draw();
  list.mark(player.song?.id ?? null, player.playing);
  views.mark(player.song?.id ?? null, player.playing);
  placeSession(player);
  document.body.classList.toggle('sounding', player.playing);
  hearRing();
});
player.addEventListener('time', () => {
  strip.draw();
  bar.source();
  hearRing();
  placeSession(player);
  lyrics.follow(player.position);
  if (player.song && player.playing) keepHeard(player.song, player.position, player.duration);
  makeReady(queue.peek(true));
});

/** The next song, so that no gap is heard, and how loud it is to be. */
function makeReady(song) {
  if (!song || !isPlayable(song)) return;
  player.prepare(song);
  if (player.duration - player.position < 30) tags.learn(song.id);
}

tags.addEventListener('change', ({ detail: id }) => {
  if (id === player.song?.id) lyrics.show(player.song, tags.of(id));
});
lyrics.addEventListener('seek', ({ detail }) => player.seek(detail));

// A cluster that cannot count it takes nothing from the music.
player.addEventListener('heard', () => api.heard(player.song.id).catch(() => {}));

player.addEventListener('trouble', () => {
  bar.source();
  if (player.trouble) $('live').textContent = $('source').textContent;
});
player.addEventListener('ended', () => {
  if (timer.endsHere()) return player.stop();
  const entry = queue.advance(true);
  playEntry(entry);
});
strip.addEventListener('seek', ({ detail }) => player.seek(detail));

let heardRing = null;
function hearRing() {
  const from = player.playing ? sources.of(player.song?.id).from.get(strip.at(player.position)) : null;
  const address = from && from !== 'cache' ? from : null;
  if (address === heardRing) return;
  heardRing = address;
  ring.hear(address);
}

// The server's events.

sources.addEventListener('change', ({ detail }) => {
  if (detail.from !== 'cache') ring.packet(detail.from);
  if (detail.song !== player.song?.id) return;
  strip.tint();
  bar.source();
  hearRing();
});
cluster.addEventListener('change', () => {
  strip.tint();
  bar.source();
});
function meet(contact) {
  cluster.setContact(contact);
  player.contact = contact;
}

api.listen((what, body) => {
  if (what === 'status') cluster.apply(body);
  if (what === 'fragment') sources.hear(body);
  if (what === 'lost') meet(false);
  if (what !== 'open') return;
  const again = cluster.contact === false;
  meet(true);
  player.retryNow();
  if (again && (views.failed || list.failed)) refresh();
});

// Buttons.

const press = (id, deed) => $(id).addEventListener('click', deed);
press('play', toggle);
press('stop', () => {
  player.stop();
  $('live').textContent = t('stopped');
});
press('next', next);
press('previous', previous);
press('shuffle', shuffle);
press('repeat', repeat);
press('star', () => star());
press('mute', mute);
press('show-queue', () => side.toggleQueue());
press('load', async () => {
  await refresh();
  const songs = $('songs-view').hidden ? cluster.songs : list.total;
  if (!views.failed && songs) toast(t('loaded', songs));
});
press('show-lyrics', () => side.toggle('lyrics'));
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault();
  ($('place').querySelector('h1') ?? $('songs')).focus();
});
$('volume').addEventListener('input', () => player.setVolume(Number($('volume').value) / 100));

let stored = 0;
uploads.addEventListener('stored', () => {
  clearTimeout(stored);
  stored = setTimeout(refresh, 300);
});

let back = 0;
trash.addEventListener('changed', () => {
  clearTimeout(back);
  back = setTimeout(() => (refresh(), trash.look()), 300);
});

attendMenu();
attendSound({ timer, loudness, tags, player, next: () => queue.peek(true) });
attendPicks(picks, {
  play: (songs) => playEntry(queue.playAll(songs)),
  next: (songs) => (queue.allNext(songs), toast(t('manyNext', songs.length))),
  last: (songs) => (queue.allLast(songs), toast(t('manyLast', songs.length))),
  star: (songs) => songs.filter((song) => !stars.has(song.id)).forEach((song) => stars.toggle(song)),
  remove, mayRemove: () => trash.allowed,
});
attendKeys({
  play: toggle, back: () => skip(-10), on: () => skip(10), next, previous, mute, shuffle, repeat,
  star: () => star(), queue: () => side.toggleQueue(), search: () => (side.view('songs'), $('search').focus(), $('search').select()),
  lyrics: () => side.toggle('lyrics'), home: () => address.go(to.home()), albums: () => address.go(to.albums()),
});
attendSession({
  resume: () => player.play(), pause: () => player.pause(), stop: () => player.stop(), next, previous,
  seek: (to) => player.seek(to), skip,
});

// What was there before the page was left: loaded, at its position, silent until a click.

const kept = read('position', null);
if (queue.current) {
  const same = kept?.id === queue.current.song.id;
  player.load(queue.current.song, { at: same && Number.isFinite(kept.at) ? kept.at : 0, play: false });
}
bar.song();
bar.state();
strip.draw();
lyrics.show(player.song, null);
address.addEventListener('go', ({ detail }) => {
  if (detail.byUser) side.view('songs');
  views.show(detail);
});
attendSearch(address, () => {
  list.addEventListener('loaded', () => $('search') === document.activeElement && list.focus(0), { once: true });
  list.focus(0);
});
address.begin();
addEventListener('load', attendOffline);
trash.look();
api.status().then((status) => cluster.apply(status), () => meet(false));
