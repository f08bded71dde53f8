/** The table of contents, which shows where the reader is, and what printing needs. */
{
  /** Make the table of contents work. */
  peerkd.followContents = function () {
    const nav = document.querySelector("nav");
    if (!nav) return;
    const buttons = new Map([...nav.querySelectorAll("button")].map((button) => [button.dataset.section, button]));
    // A link to a place in the page would leave it where the page is a frame's srcdoc; a button does not.
    for (const [id, button] of buttons) {
      button.addEventListener("click", () => {
        const section = document.getElementById(id);
        section.scrollIntoView();
        section.querySelector("h2").focus({ preventScroll: true });
      });
    }
    nav.hidden = false;
    const visible = new Set();
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) visible[isIntersecting ? "add" : "delete"](target.id);
      const first = [...buttons.keys()].find((id) => visible.has(id));
      for (const [id, button] of buttons) {
        if (id === first) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
      }
    }, { rootMargin: "-10% 0px -60% 0px" });
    for (const section of document.querySelectorAll("section[id]")) observer.observe(section);
  };

  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details")) details.open = true;
  });
}
