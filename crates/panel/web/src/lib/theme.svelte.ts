// Light or dark: as the machine says, unless somebody said otherwise here.

export type Theme = 'auto' | 'light' | 'dark';
const KEY = 'sluice-theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

function stored(): Theme {
  const value = localStorage.getItem(KEY);
  return value === 'light' || value === 'dark' ? value : 'auto';
}

class Themes {
  chosen = $state<Theme>(stored());
  machine = $state(dark.matches);
  shown = $derived(this.chosen === 'auto' ? (this.machine ? 'dark' : 'light') : this.chosen);

  constructor() {
    dark.addEventListener('change', () => (this.machine = dark.matches));
    this.#apply();
  }

  choose(theme: Theme) {
    this.chosen = theme;
    if (theme === 'auto') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
    this.#apply();
  }

  #apply() {
    const root = document.documentElement;
    if (this.chosen === 'auto') delete root.dataset['theme'];
    else root.dataset['theme'] = this.chosen;
  }
}

export const theme = new Themes();
