// What was typed and not saved, on this page or on one that was looked at before: whoever
// leaves the panel, or logs out, is asked first.

class Unsaved {
  /** The applications whose settings were changed and not saved. */
  apps = $state<string[]>([]);

  mark(app: string, changed: boolean) {
    if (this.apps.includes(app) === changed) return;
    this.apps = changed ? [...this.apps, app] : this.apps.filter((other) => other !== app);
  }
  /** It may be lost. */
  forget() {
    this.apps = [];
  }
}
export const unsaved = new Unsaved();
