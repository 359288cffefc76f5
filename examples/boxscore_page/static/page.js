// Keeps the page up to date. The server renders the HTML; this script replaces the parts that have changed.
// On a game day's scoreboard these are cells: the server sends the rows that have changed, and the ids of the others.

const HEARTBEAT_TIMEOUT_MS = 30_000; // the server sends a heartbeat every 10 s
const RETRY_DELAY_MS = 2_000;

const connection = document.getElementById("connection");
let heard = new Date();
let source;

function show(html) {
  const shown = document.getElementById("game");
  const game = document.adoptNode(new DOMParser().parseFromString(html, "text/html").getElementById("game"));
  const known = new Map([...shown.querySelectorAll(":scope > [id], tbody > [id]")].map((element) => [element.id, element]));
  update(shown, game, known, (part, fresh) => updateTable(part, fresh, known) ?? fresh);
  if (game.dataset.announcement !== shown.dataset.announcement) {
    document.getElementById("announcement").textContent = game.dataset.announcement;
  }
  Object.assign(shown.dataset, game.dataset);
  localize();
}

// Gives `parent` the children of `fresh`. Each has an id; what has not changed stays where it is, with focus and selection.
function update(parent, fresh, known, replacement) {
  const children = [...fresh.children];
  const ids = new Set(children.map((child) => child.id));
  for (const child of [...parent.children]) ids.has(child.id) || child.remove();
  children.forEach((child, i) => {
    const old = known.get(child.id);
    const kept = !old ? child : old.isEqualNode(child) ? old : replacement(old, child);
    if (old?.parentNode === parent && kept !== old) old.replaceWith(kept);
    if (parent.children[i] !== kept) parent.insertBefore(kept, parent.children[i] ?? null);
  });
}

// Updates a table of the scoreboard in place, row by row; undefined if the part is something else.
function updateTable(part, fresh, known) {
  const [table, freshTable] = [part, fresh].map((each) => each.querySelector(":scope.games > table"));
  if (!table) return undefined;
  part.querySelector("h2").replaceWith(fresh.querySelector("h2"));
  table.hidden = freshTable.hidden;
  update(table.tBodies[0], freshTable.tBodies[0], known, updateRow);
  return part;
}

function updateRow(row, fresh) {
  if ("unchanged" in fresh.dataset) return row;
  row.dataset.ahead = fresh.dataset.ahead;
  [...fresh.cells].forEach((cell, i) => {
    if (cell.textContent === row.cells[i].textContent) return;
    if (cell.className === "result") cell.classList.add("fresh");
    row.cells[i].replaceWith(cell);
  });
  return row;
}

function localize() {
  document.title = document.getElementById("game").dataset.title;
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.textContent = new Date(time.dateTime).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }
}

function alive() {
  heard = new Date();
  connection.hidden = true;
}

function lost() {
  if (connection.hidden) {
    connection.querySelector("time").dateTime = heard.toISOString();
    localize();
    connection.hidden = false;
  }
}

function connect() {
  source?.close();
  source = new EventSource(document.body.dataset.events);
  source.addEventListener("alive", alive);
  source.addEventListener("message", (event) => {
    alive();
    show(event.data);
  });
  source.addEventListener("error", () => {
    lost();
    // The browser reconnects after a broken connection, but not after a refused one.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_DELAY_MS);
  });
}

setInterval(() => {
  if (new Date() - heard > HEARTBEAT_TIMEOUT_MS) {
    lost();
    heard = new Date();
    connect();
  }
}, 1_000);

localize();
connect();
