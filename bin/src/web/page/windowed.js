// A list or grid of which only what is near the window is in the page, however long it is.
//
// The list has its whole height from the beginning, so the bar at the side is true; entries that
// have not come yet are empty boxes of the same size. The entry with the focus stays in the page.

/** Pixels above and below the window that are drawn as well: a flick of a finger. */
const AHEAD = 600;

export class Windowed {
  #scroller;
  #list;
  #pages;
  #shape;
  #draw;
  #drawn = new Map();
  #frame = 0;
  #size = { columns: 1, width: 0, height: 1, gap: 0 };
  #watch;
  #soon = () => this.#later();

  /**
   * `shape(width)` gives `{ columns, height, gap }`; `draw(item, index)` an element, `ghost()` one
   * for what has not come.
   */
  constructor({ scroller, list, pages, shape, draw, ghost }) {
    this.#scroller = scroller;
    this.#list = list;
    this.#pages = pages;
    this.#shape = shape;
    this.#draw = (index) => {
      const item = pages.get(index);
      const made = item ? draw(item, index) : ghost();
      made.item = item;
      return made;
    };
    list.classList.add('windowed');
    scroller.addEventListener('scroll', this.#soon, { passive: true });
    pages.addEventListener('change', this.#soon);
    this.#watch = new ResizeObserver(() => this.#measure());
    this.#watch.observe(scroller);
    this.#measure();
  }

  /** Leaves the page's events; the list stays as it is. */
  end() {
    this.#watch.disconnect();
    this.#scroller.removeEventListener('scroll', this.#soon);
    this.#pages.removeEventListener('change', this.#soon);
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
  }

  /** The element of an entry, which comes into the window for it; null if it is not here. */
  reveal(index) {
    if (index < 0 || index >= (this.#pages.total ?? 0)) return null;
    const { columns, height, gap } = this.#size;
    const top = this.#top() + Math.floor(index / columns) * (height + gap);
    const view = this.#scroller;
    const head = this.#headHeight();
    if (top < view.scrollTop + head) view.scrollTop = top - head;
    else if (top + height > view.scrollTop + view.clientHeight) view.scrollTop = top + height - view.clientHeight;
    this.draw();
    return this.#drawn.get(index) ?? null;
  }

  get columns() {
    return this.#size.columns;
  }

  draw() {
    this.#frame = 0;
    const total = this.#pages.total ?? 0;
    const { columns, height, gap } = this.#size;
    const row = height + gap;
    const from = this.#scroller.scrollTop - this.#top();
    const last = Math.ceil((from + this.#scroller.clientHeight + AHEAD) / row) * columns;
    const first = Math.max(0, Math.floor((from - AHEAD) / row)) * columns;
    const end = Math.min(total, Math.max(last, 0));
    this.#list.style.height = `${Math.max(0, Math.ceil(total / columns) * row - gap)}px`;
    for (const [index, element] of this.#drawn) {
      const stays = (index >= first && index < end) || (index < total && element.contains(document.activeElement));
      if (stays && element.item === this.#pages.get(index)) continue;
      element.remove();
      this.#drawn.delete(index);
    }
    let missing = false;
    for (let index = first; index < end; index += 1) {
      missing ||= !this.#pages.get(index);
      if (!this.#drawn.has(index)) this.#put(index);
    }
    if (missing) this.#pages.want(first, end - 1);
  }

  #put(index) {
    const { columns, width, height, gap } = this.#size;
    const element = this.#draw(index);
    const x = (index % columns) * (width + gap);
    const y = Math.floor(index / columns) * (height + gap);
    element.style.transform = `translate(${x}px, ${y}px)`;
    element.style.height = `${height}px`;
    if (columns > 1) element.style.width = `${width}px`;
    element.setAttribute('aria-setsize', this.#pages.total);
    element.setAttribute('aria-posinset', index + 1);
    element.index = index;
    // In the order of the list, for those who go through it by keys or by ear.
    let next = null;
    for (const [other, sibling] of this.#drawn) if (other > index && (!next || other < next.index)) next = sibling;
    this.#list.insertBefore(element, next);
    this.#drawn.set(index, element);
  }

  #measure() {
    const width = this.#list.clientWidth;
    if (!width) return;
    const shape = this.#shape(width);
    const columns = Math.max(1, shape.columns);
    const size = { ...shape, columns, width: (width - shape.gap * (columns - 1)) / columns };
    if (JSON.stringify(size) !== JSON.stringify(this.#size)) {
      this.#size = size;
      for (const element of this.#drawn.values()) element.remove();
      this.#drawn.clear();
    }
    this.draw();
  }

  #later() {
    this.#frame ||= requestAnimationFrame(() => this.draw());
  }

  /** Where the list begins in what is scrolled. */
  #top() {
    const list = this.#list.getBoundingClientRect().top;
    return list - this.#scroller.getBoundingClientRect().top + this.#scroller.scrollTop;
  }

  #headHeight() {
    return this.#scroller.querySelector('.library-head:not([hidden])')?.offsetHeight ?? 0;
  }
}
