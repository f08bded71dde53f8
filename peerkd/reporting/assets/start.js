/** Start the page. What an earlier step adds, such as tables, a later one completes. */
peerkd.explore?.();
peerkd.drawCharts();
peerkd.enhanceTables();
peerkd.enhanceMatrices();
peerkd.followContents();
document.documentElement.dataset.isReady = "";
