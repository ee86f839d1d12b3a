// What this browser can play. It is asked before a song is tried.

const TYPES = {
  wav: 'audio/wav', mp3: 'audio/mpeg', flac: 'audio/flac', m4a: 'audio/mp4',
  vorbis: 'audio/ogg; codecs="vorbis"', opus: 'audio/ogg; codecs="opus"',
};

const ear = document.createElement('audio');

/** False when the browser is sure that it cannot. */
export const isPlayable = (song) => !(song?.format in TYPES) || ear.canPlayType(TYPES[song.format]) !== '';
