// The system's own media controls: lock screens, headsets, keyboards with media keys.

import { coverUrl } from './api.js';
import { hasPicture } from './covers.js';
import { t } from './words.js';

const session = navigator.mediaSession;

/** `deeds`: resume, pause, stop, next, previous, seek(to), skip(by). */
export function attendSession(deeds) {
  if (!session) return;
  const handlers = {
    play: deeds.resume,
    pause: deeds.pause,
    stop: deeds.stop,
    previoustrack: deeds.previous,
    nexttrack: deeds.next,
    seekto: (details) => deeds.seek(details.seekTime),
    seekbackward: (details) => deeds.skip(-(details.seekOffset || 10)),
    seekforward: (details) => deeds.skip(details.seekOffset || 10),
  };
  for (const [name, handler] of Object.entries(handlers)) {
    try {
      session.setActionHandler(name, handler);
    } catch {
      // This browser has no such control.
    }
  }
}

export function showSession(song) {
  if (!session) return;
  if (!song) {
    session.metadata = null;
    return;
  }
  const src = new URL(hasPicture(song.id) ? coverUrl(song.id) : 'icon.svg', document.baseURI).href;
  const sizes = hasPicture(song.id) ? ['96x96', '256x256', '512x512'] : ['any'];
  session.metadata = new MediaMetadata({
    title: song.title || t('untitled'),
    artist: song.artist || t('unknownArtist'),
    album: song.album || '',
    artwork: sizes.map((one) => ({ src, sizes: one })),
  });
}

export function placeSession(player) {
  if (!session) return;
  session.playbackState = { playing: 'playing', paused: 'paused', stopped: 'none' }[player.wish];
  const { duration, position } = player;
  if (!session.setPositionState || !(duration > 0)) return;
  session.setPositionState({ duration, position: Math.min(position, duration), playbackRate: 1 });
}
