// Tabs as screen readers expect them: arrows move between them, only one is in the tab order.

export function createTabs(root, store) {
  const tabs = [...root.querySelectorAll("[role=tab]")];
  const nameOf = (tab) => tab.getAttribute("aria-controls").replace("lv-panel-", "");
  const choose = (tab) => {
    store.set({ tab: nameOf(tab) });
    tab.focus();
  };
  tabs.forEach((tab, index) => {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (step) choose(tabs[(index + step + tabs.length) % tabs.length]);
    });
  });
  store.on(["tab"], () => {
    for (const tab of tabs) {
      const chosen = nameOf(tab) === store.state.tab;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      root.querySelector(`#${tab.getAttribute("aria-controls")}`).hidden = !chosen;
    }
  });
}
