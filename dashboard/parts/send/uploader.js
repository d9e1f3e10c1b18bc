// Sends one file by PUT. Everything that is shown goes in as text, never as markup.
// The upload belongs to the window, not to the page: who looks at another page meanwhile finds it again.
const state = (window.rowrelay ??= { root: null, upload: null, arrived: null });

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const root = parentElement.querySelector(".root");
  state.data = data;
  state.tell = setTriggerValue;
  if (state.root !== root || !root.firstChild) {
    state.root = root;
    draw();
  }
  hand_over();
  return () => {
    if (state.root === root) state.root = null;
  };
}

function draw(trouble, again) {
  if (!state.root) return state.later = [trouble, again];
  if (state.upload) return going(state.root, state.upload);
  if (!trouble && state.later) [trouble, again] = state.later;
  state.later = null;
  idle(state.root, trouble, again);
}

function hand_over() {
  if (!state.arrived || !state.root) return;
  const arrived = state.arrived;
  state.arrived = null;
  state.tell("uploaded", arrived);
}

function element(name, text, className) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function idle(root, trouble, again) {
  const zone = element("div", "", "zone");
  const input = document.createElement("input");
  input.type = "file";
  input.hidden = true;
  input.setAttribute("aria-label", "File to send");
  input.onchange = () => input.files[0] && send(input.files[0]);
  const choose = element("button", "Choose a file", "main");
  choose.type = "button";
  choose.onclick = () => input.click();
  const line = element("p", "Drop a file here, or ");
  line.append(choose);
  const most = size(state.data.most);
  zone.append(input, line, element("p", `CSV, Excel, OpenDocument, JSON or Parquet, also packed, up to ${most}. Nothing is sent before you say so.`, "hint"));
  if (trouble) {
    const box = element("div", trouble + " ", "trouble");
    box.setAttribute("role", "alert");
    if (again) {
      const retry = element("button", "Try again");
      retry.type = "button";
      retry.onclick = () => send(again);
      box.append(retry);
    }
    zone.append(box);
  }
  zone.ondragover = (event) => { event.preventDefault(); zone.classList.add("over"); };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const files = event.dataTransfer.files;
    if (files.length > 1) return draw("One file at a time, please.");
    if (files[0]) send(files[0]);
  };
  root.replaceChildren(zone);
}

function send(file) {
  if (file.size > state.data.most)
    return draw(`${file.name} has ${size(file.size)}; up to ${size(state.data.most)} may be uploaded. ` +
      "Split it or compress it.");
  if (file.size === 0) return draw(`${file.name} is empty.`);
  const request = new XMLHttpRequest();
  const upload = state.upload = { file, request, begun: performance.now(), loaded: 0, total: file.size, show: () => {} };
  const leaving = (event) => event.preventDefault();
  window.addEventListener("beforeunload", leaving);
  request.upload.onprogress = (event) => {
    upload.loaded = event.loaded;
    upload.total = event.total || file.size;
    upload.show();
  };
  const end = (trouble) => {
    window.removeEventListener("beforeunload", leaving);
    state.upload = null;
    draw(trouble, trouble && file);
    hand_over();
  };
  request.onload = () => {
    if (request.status === 201) state.arrived = JSON.parse(request.responseText);
    end(request.status === 201 ? "" : explain(request));
  };
  request.onerror = () => end("The connection was lost, and nothing of the file was kept.");
  request.onabort = () => end("Cancelled. Nothing of the file was kept.");
  request.open("PUT", `${state.data.base}/api/files/${encodeURIComponent(file.name)}`);
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.send(file);
  draw();
}

function going(root, upload) {
  const zone = element("div", "", "zone");
  const line = element("div", "", "going");
  const done = element("span", "", "done");
  done.setAttribute("aria-live", "off");
  const bar = document.createElement("progress");
  bar.max = 1;
  bar.value = 0;
  bar.setAttribute("aria-label", "Upload");
  const stop = element("button", "Cancel");
  stop.type = "button";
  stop.onclick = () => upload.request.abort();
  line.append(element("span", upload.file.name, "name"), done, stop, bar);
  zone.append(line, element("p", "You may look at other pages meanwhile; keep this window open.", "hint"));
  root.replaceChildren(zone);
  stop.focus();
  upload.show = () => {
    const { loaded, total } = upload;
    bar.value = loaded / total;
    const seconds = (performance.now() - upload.begun) / 1000;
    const left = seconds > 1.5 && loaded && loaded < total ? `, ${time((total - loaded) * seconds / loaded)} left` : "";
    done.textContent = loaded < total ? `${size(loaded)} of ${size(total)}${left}` : "putting it away …";
  };
  upload.show();
}

function explain(request) {
  try {
    const problem = JSON.parse(request.responseText);
    return [problem.detail, problem.hint].filter(Boolean).join(" ");
  } catch {
    return `The dashboard answered ${request.status}.`;
  }
}

function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB"];
  let at = 0;
  while (bytes >= 1000 && at < 3) { bytes /= 1000; at += 1; }
  return `${new Intl.NumberFormat(undefined, { maximumFractionDigits: bytes < 100 && at ? 1 : 0 }).format(bytes)} ${units[at]}`;
}

function time(seconds) {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}
