// The page's life: asks for figures each second and keeps five minutes of them. Goes on when the server is away for a while,
// and begins anew where it comes back as another run. Asks for a token where one is needed, and obeys its reader.

/** Milliseconds between two questions, for an answer, and at most between two tries. */
const PERIOD_MS = 1000;
const PATIENCE_MS = 4000;
const LONGEST_WAIT_MS = 5000;

function take(now) {
  const before = last();
  const sample = { at: Date.now() / 1000, now, since: compare(before?.now, now) };
  // What is long ago is kept without its histograms since the start, which nobody asks for again.
  if (before) before.now = { ...before.now, commands: [] };
  state.samples.push(sample);
  while (state.samples[0].at < sample.at - HISTORY_S) state.samples.shift();
  document.body.classList.remove("stale");
  byId("token").hidden = true;
  byId("main").hidden = false;
}

/** Whether there are new figures; false: a token is needed. */
async function ask() {
  const token = sessionStorage.getItem("tallyring-token");
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const answer = await fetch("/stats.json", { headers, cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
  if (answer.ok) {
    take(await answer.json());
    return true;
  }
  const why = (await answer.text()).trim();
  if (answer.status !== 401) throw new Error(why || `answer ${answer.status}`);
  askForToken(token);
  return false;
}

function askForToken(refused) {
  setStatus("warn", "a token is needed");
  if (!byId("token").hidden && !refused) return;
  sessionStorage.removeItem("tallyring-token");
  if (refused) setText("token-why", "That token was not accepted.");
  byId("main").hidden = true;
  byId("token").hidden = false;
  byId("token-value").focus();
}

let timer = 0;
async function step() {
  clearTimeout(timer);
  const began = performance.now();
  let [wait, fresh] = [PERIOD_MS, false];
  try {
    fresh = await ask();
    state.failures = 0;
  } catch (error) {
    state.failures += 1;
    wait = Math.min(PERIOD_MS * state.failures, LONGEST_WAIT_MS);
    document.body.classList.toggle("stale", state.samples.length > 0);
    const said = error instanceof TypeError || error.name === "TimeoutError" ? "" : `: ${error.message}`;
    setStatus("lost", said ? `no figures${said}` : "disconnected, retrying");
  }
  // Not in `ask`: a mistake in drawing is no loss of connection.
  timer = setTimeout(step, Math.max(200, wait - (performance.now() - began)));
  if (fresh) show();
}

const THEMES = ["auto", "light", "dark"];
function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText("theme", `Theme: ${theme}`);
  byId("theme").setAttribute("aria-label", `Theme: ${theme === "auto" ? "as the system" : theme}. Change`);
  localStorage.setItem("tallyring-theme", theme);
}

byId("theme").addEventListener("click", () => {
  const now = localStorage.getItem("tallyring-theme") ?? "auto";
  setTheme(THEMES[(THEMES.indexOf(now) + 1) % THEMES.length]);
});
byId("command").addEventListener("change", (event) => { state.command = event.target.value; show(); });
for (const name of ["kind", "span"]) {
  byId(name).addEventListener("change", (event) => { state[name] = event.target.value; show(); });
}
byId("token").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("tallyring-token", byId("token-value").value.trim());
  byId("token-value").value = "";
  step();
});
document.addEventListener("visibilitychange", show);
addEventListener("resize", show);
setTheme(THEMES.includes(localStorage.getItem("tallyring-theme")) ? localStorage.getItem("tallyring-theme") : "auto");
step();
