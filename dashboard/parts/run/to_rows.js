// Streamlit draws a page after the browser has looked for the `#rows` of its address, so it is looked for here again.
// A second time because what stands above, the charts, may have grown meanwhile; not once a person has moved.
const WAITS = [0, 700];

export default function () {
  if (location.hash !== "#rows") return;
  history.replaceState(history.state, "", location.pathname + location.search);
  let moved = false;
  for (const kind of ["wheel", "touchmove", "keydown", "pointerdown"])
    addEventListener(kind, () => (moved = true), { once: true, capture: true });
  for (const wait of WAITS) setTimeout(() => moved || document.getElementById("rows")?.scrollIntoView(), wait);
}
