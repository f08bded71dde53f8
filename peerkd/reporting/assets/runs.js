/** The list of the runs of a store. While a run is in progress, the page loads itself again and keeps its order. */
{
  const SECONDS = 10;

  /** Sort and filter the list as the address says, and load the page again while a run is in progress. */
  peerkd.followRuns = function () {
    const headers = [...document.querySelectorAll("table.list thead th")];
    const field = document.querySelector("input[type=search]");
    const state = new URLSearchParams(location.hash.slice(1));
    const button = headers[Number(state.get("column"))]?.querySelector("button");
    if (state.has("column") && button) {
      button.click();
      if (state.get("order") === "descending") button.click();
    }
    if (field && state.has("words")) {
      field.value = state.get("words");
      field.dispatchEvent(new Event("input"));
    }
    if (!("isRunning" in document.documentElement.dataset)) return;
    setInterval(() => {
      if (document.activeElement === field && field) return; // the reader may be typing
      const next = new URLSearchParams();
      const column = headers.findIndex((header) => header.hasAttribute("aria-sort"));
      if (column >= 0) {
        next.set("column", column);
        next.set("order", headers[column].getAttribute("aria-sort"));
      }
      if (field?.value) next.set("words", field.value);
      history.replaceState(null, "", `#${next}`);
      location.reload();
    }, 1000 * SECONDS);
  };
}
peerkd.enhanceTables();
peerkd.followRuns();
document.documentElement.dataset.isReady = "";
