// Names and roles for screen readers that the theme and Sphinx leave out.
document.addEventListener("DOMContentLoaded", () => {
  for (const summary of document.querySelectorAll("li > details > summary")) {
    const part = summary.closest("li").querySelector("a").textContent.trim();
    summary.setAttribute("aria-label", `Pages of ${part}`);
  }
  // The parameters of a long signature are lines, not definitions.
  for (const part of document.querySelectorAll("dt.sig dl, dt.sig dl > dd")) {
    part.setAttribute("role", "presentation");
  }
});
