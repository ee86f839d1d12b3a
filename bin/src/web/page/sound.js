// The button of the sound: its menu of sleep timer and loudness, and what they do to the player.

import { $ } from './dom.js';
import { openMenu } from './menu.js';
import { MODES } from './tags.js';
import { MINUTES } from './timer.js';
import { label, t } from './words.js';

/** `parts`: timer, loudness, tags, player, and `next()`, the song that comes. */
export function attendSound(parts) {
  const { timer, player, loudness, tags } = parts;
  tags.addEventListener('change', ({ detail: id }) => player.setGain(id, loudness.factor(tags.of(id))));
  timer.addEventListener('fade', ({ detail }) => player.fade(detail));
  timer.addEventListener('sleep', () => player.pause());
  timer.addEventListener('change', () => {
    $('sound').setAttribute('aria-pressed', String(timer.until !== null));
    $('sleep-left').hidden = timer.until === null;
    $('sleep-left').textContent = timer.minutesLeft || '1×';
    label($('sound'), timer.minutesLeft ? t('soundSleep', timer.minutesLeft) : t('sound'));
  });
  $('sound').addEventListener('click', () => {
    const box = $('sound').getBoundingClientRect();
    openMenu(entries(parts), { x: box.right, y: box.bottom, button: $('sound') });
  });
}

function entries({ timer, loudness, tags, player, next }) {
  const isSet = (minutes) => timer.minutes === minutes && timer.until !== null;
  const setLoudness = (mode) => {
    loudness.setMode(mode);
    for (const song of [player.song, next()]) if (song) player.setGain(song.id, loudness.factor(tags.of(song.id)));
  };
  return [
    { title: t('sleepTimer') },
    { text: t('sleepOff'), checked: timer.until === null, run: () => timer.set(null) },
    ...MINUTES.map((minutes) => ({ text: t('minutes', minutes), checked: isSet(minutes), run: () => timer.set(minutes) })),
    { text: t('sleepSong'), checked: timer.until === 'song', run: () => timer.set('song') },
    { title: t('loudness') },
    ...MODES.map((mode) => ({ text: t(`loud_${mode}`), checked: loudness.mode === mode, run: () => setLoudness(mode) })),
  ];
}
