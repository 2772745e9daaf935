// What is seen of a room. Everything that people wrote goes in as text, never as HTML.

const TOGETHER = 5 * 60_000; // ms: messages of one person this close share one byline
const NEAR_END = 80; // px
const WARN_LEFT = 100; // characters

const find = (id) => document.getElementById(id);

export class Room {
  onSay = () => {};

  constructor(page) {
    this.slug = page.dataset.slug;
    this.me = page.dataset.me;
    this.longest = Number(page.dataset.longest);
    this.log = find("log");
    this.list = find("messages");
    this.field = find("id_text");
    this.newest = 0;
    for (const item of this.list.children) this.#adopt(item);
    this.#toEnd();
    this.#compose(find("composer"));
    this.#follow();
  }

  // -- messages ---------------------------------------------------------------------

  // Show a message, at its place by id; one that is shown already is left as it is.
  add(message) {
    this.list.querySelector(`[data-pending="${message.key}"]`)?.remove();
    if (this.list.querySelector(`[data-id="${message.id}"]`)) return;
    const follow = this.#atEnd() || message.author.username === this.me;
    const item = this.#item(message.author, message.text, message.sent_at);
    item.dataset.id = message.id;
    const later = [...this.list.children].find(
      (each) => each.dataset.pending || Number(each.dataset.id) > message.id,
    );
    this.list.insertBefore(item, later ?? null);
    this.#adopt(item);
    if (follow) this.#toEnd();
    else find("newer").hidden = false;
  }

  // Show a message of one's own that is on its way.
  addPending(key, text) {
    const item = this.#item({ username: this.me, name: "", tint: 0 }, text, new Date());
    item.dataset.pending = key;
    item.setAttribute("aria-busy", "true");
    this.list.append(item);
    this.#adopt(item);
    this.#toEnd();
  }

  // Take a message that did not arrive out of the log and back into the field.
  giveBack(key, text) {
    this.list.querySelector(`[data-pending="${key}"]`)?.remove();
    this.field.value = this.field.value ? `${text}\n${this.field.value}` : text;
    this.field.dispatchEvent(new Event("input"));
  }

  #item(author, text, sentAt) {
    const item = find("message").content.firstElementChild.cloneNode(true);
    const [avatar, name] = [item.querySelector(".avatar"), item.querySelector(".name")];
    item.dataset.author = author.username;
    avatar.textContent = [...author.name][0] ?? "";
    avatar.title = name.textContent = author.name;
    avatar.dataset.tint = name.dataset.tint = author.tint;
    item.querySelector("time").dateTime = new Date(sentAt).toISOString();
    item.querySelector(".text").textContent = text;
    return item;
  }

  // Local time, whose it is, and whether it goes on from the one before.
  #adopt(item) {
    const time = item.querySelector("time");
    const sentAt = new Date(time.dateTime);
    time.textContent = sentAt.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    time.title = sentAt.toLocaleString([], { dateStyle: "full", timeStyle: "short" });
    item.classList.toggle("mine", item.dataset.author === this.me);
    this.newest = Math.max(this.newest, Number(item.dataset.id || 0));
    this.#join(item);
    if (item.nextElementSibling) this.#join(item.nextElementSibling);
  }

  #join(item) {
    const before = item.previousElementSibling;
    const at = (each) => new Date(each.querySelector("time").dateTime);
    const sameDay = before && at(before).toDateString() === at(item).toDateString();
    const goesOn = sameDay && before.dataset.author === item.dataset.author
      && at(item) - at(before) < TOGETHER;
    item.classList.toggle("goes-on", Boolean(goesOn));
    if (sameDay) delete item.dataset.day;
    else item.dataset.day = dayName(at(item));
  }

  // -- the end of the log ---------------------------------------------------------------

  #atEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < NEAR_END;
  }

  #toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
  }

  // Stay at the end when the log shrinks (a keyboard opens), unless the reader went up.
  #follow() {
    const newer = find("newer");
    let atEnd = true;
    this.log.addEventListener("scroll", () => {
      atEnd = this.#atEnd();
      if (atEnd) newer.hidden = true;
    });
    new ResizeObserver(() => atEnd && this.#toEnd()).observe(this.log);
    newer.addEventListener("click", () => this.#toEnd());
  }

  // -- who is there, and how -----------------------------------------------------------

  showState(state, text) {
    const pill = find("state");
    pill.dataset.state = state;
    pill.textContent = text;
  }

  // rooms: slug -> people. Shown beside each room, and for this one in the head.
  showPresence(rooms) {
    for (const link of document.querySelectorAll("[data-room]")) {
      const people = rooms[link.dataset.room] ?? [];
      const holder = link.querySelector("[data-people]");
      const names = people.length ? [unseen(listed(people, this.me))] : [];
      holder.replaceChildren(...people.map(avatarOf), ...names);
    }
    const here = rooms[this.slug] ?? [];
    find("people").replaceChildren(...here.map(avatarOf));
    find("here").textContent = listed(here, this.me);
  }

  // -- writing -----------------------------------------------------------------------

  #compose(form) {
    const { field } = this;
    const draft = `draft-${this.slug}`; // outlives a reload, not the tab
    field.value ||= sessionStorage.getItem(draft) ?? "";
    const left = () => this.longest - [...field.value.trim()].length;
    const fit = () => {
      field.style.height = "auto";
      field.style.height = `${field.scrollHeight}px`;
      find("left").textContent = left() <= WARN_LEFT ? `${left()}` : "";
      sessionStorage.setItem(draft, field.value);
      form.classList.toggle("too-long", left() < 0);
      form.classList.toggle("ready", field.value.trim() !== "" && left() >= 0);
      this.showProblem("");
    };
    field.addEventListener("input", fit);
    field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      if (left() < 0) {
        this.showProblem(`${-left()} characters too many. Make it shorter or send it in parts.`);
      } else if (field.value.trim()) {
        this.onSay(field.value.trim());
        field.value = "";
        fit();
      }
      field.focus();
    });
    form.noValidate = true;
    if (matchMedia("(hover: hover)").matches) field.focus(); // on a phone a keyboard would rise
    const problem = find("problem").textContent;
    fit();
    this.showProblem(problem);
  }

  showProblem(text) {
    const problem = find("problem");
    problem.textContent = text;
    problem.hidden = !text;
  }
}

function avatarOf(person) {
  const avatar = find("avatar").content.firstElementChild.cloneNode(true);
  avatar.textContent = [...person.name][0];
  avatar.title = person.name;
  avatar.dataset.tint = person.tint;
  return avatar;
}

function unseen(text) {
  const span = document.createElement("span");
  span.className = "unseen";
  span.textContent = text;
  return span;
}

// "You", "You and Grace Hopper", "Ada Lovelace and Grace Hopper"
function listed(people, me) {
  const others = people.filter((person) => person.username !== me).map((person) => person.name);
  const names = people.length > others.length ? ["You", ...others] : others;
  return new Intl.ListFormat("en").format(names);
}

function dayName(date) {
  const days = Math.round((new Date().setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 864e5);
  if (days < 2) return days === 1 ? "Yesterday" : "Today";
  return date.toLocaleDateString([], { weekday: "long", day: "numeric", month: "long" });
}
