// Uploads: files dropped anywhere or chosen, two at a time, each with its progress and its end in
// words. What failed can be tried again; what still runs can be cancelled. Emits `stored`.

import * as api from './api.js';
import { $, el, icon, size } from './dom.js';
import { label, t } from './words.js';

const AT_ONCE = 2;

export class Uploads extends EventTarget {
  #jobs = [];

  constructor() {
    super();
    $('upload').addEventListener('click', () => $('upload-dialog').showModal());
    $('files').addEventListener('change', () => {
      this.add($('files').files);
      $('files').value = '';
    });
    this.#attendDrops();
    addEventListener('beforeunload', (event) => {
      if (this.#running.length) event.preventDefault();
    });
  }

  get #running() {
    return this.#jobs.filter((job) => ['sending', 'storing'].includes(job.state));
  }

  add(files) {
    const fresh = [...files].map((file) => ({ file, state: 'waiting', sent: 0 }));
    if (!fresh.length) return;
    this.#jobs.push(...fresh);
    for (const job of fresh) $('uploads').prepend(this.#row(job));
    if (!$('upload-dialog').open) $('upload-dialog').showModal();
    this.#next();
  }

  #next() {
    while (this.#running.length < AT_ONCE) {
      const job = this.#jobs.find((one) => one.state === 'waiting');
      if (!job) break;
      this.#send(job);
    }
    this.#badge();
  }

  async #send(job) {
    job.state = 'sending';
    job.sent = 0;
    try {
      if (!job.file.size) throw new api.Failure(t('up_empty'));
      const { done, abort } = api.upload(job.file, (sent) => {
        job.sent = sent;
        if (sent >= job.file.size) job.state = 'storing';
        this.#draw(job);
      });
      job.abort = abort;
      this.#draw(job);
      job.answer = await done;
      job.state = job.answer.outcome === 'known' ? 'known' : 'added';
      this.dispatchEvent(new CustomEvent('stored', { detail: job.answer }));
    } catch (error) {
      job.state = error.name === 'AbortError' ? 'cancelled' : 'failed';
      job.why = error.message;
    }
    this.#draw(job);
    this.#next();
  }

  #row(job) {
    job.row = el('li.up', {},
      el('span.up-icon', {}, icon('song')),
      el('div.up-words', {}, el('p.up-name', { textContent: job.file.name }), el('p.up-state')),
      el('button.round', { type: 'button' }, icon('close')),
      el('progress', { max: 100, value: 0 }));
    label(job.row.querySelector('progress'), job.file.name);
    job.row.querySelector('button').addEventListener('click', () => this.#pressed(job));
    this.#draw(job);
    return job.row;
  }

  #draw(job) {
    const { row, state, file } = job;
    const button = row.querySelector('button');
    const progress = row.querySelector('progress');
    row.dataset.state = state;
    row.querySelector('.up-state').textContent = this.#words(job);
    const ended = ['added', 'known'].includes(state);
    button.hidden = ended || state === 'storing';
    const again = ['failed', 'cancelled'].includes(state);
    label(button, t(again ? 'retry' : 'cancel'));
    button.querySelector('use').setAttribute('href', again ? '#i-load' : '#i-close');
    row.querySelector('.up-icon use').setAttribute('href', ended ? '#i-check' : '#i-song');
    progress.hidden = !['sending', 'storing'].includes(state);
    if (state === 'storing') progress.removeAttribute('value');
    else progress.value = file.size ? (job.sent / file.size) * 100 : 0;
    this.#badge();
  }

  #words(job) {
    if (job.state === 'sending') return t('up_sending', size(job.sent), size(job.file.size));
    if (job.state === 'added') return t('up_added', job.answer.copies ?? 1);
    if (job.state === 'failed') return t('up_failed', job.why);
    return t(`up_${job.state}`);
  }

  #pressed(job) {
    if (['failed', 'cancelled'].includes(job.state)) {
      job.state = 'waiting';
      this.#draw(job);
      this.#next();
    } else if (job.state === 'waiting') {
      job.state = 'cancelled';
      this.#draw(job);
    } else job.abort?.();
  }

  /** How many are still under way, on the button that opens the dialog. */
  #badge() {
    const left = this.#jobs.filter((job) => ['waiting', 'sending', 'storing'].includes(job.state)).length;
    $('upload-progress').hidden = left === 0;
    $('upload-progress').textContent = left;
  }

  #attendDrops() {
    const carries = (event) => event.dataTransfer?.types?.includes('Files');
    const curtain = $('curtain');
    addEventListener('dragenter', (event) => carries(event) && (curtain.hidden = $('upload-dialog').open));
    addEventListener('dragover', (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      $('drop').classList.add('over');
    });
    addEventListener('dragleave', (event) => {
      if (event.relatedTarget) return;
      curtain.hidden = true;
      $('drop').classList.remove('over');
    });
    addEventListener('drop', (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      curtain.hidden = true;
      $('drop').classList.remove('over');
      this.add(event.dataTransfer.files);
    });
  }
}
