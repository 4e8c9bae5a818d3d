// Who is logged in, and which applications there are.
import { api, ApiError, onLoginLost, told, type Me } from './api';
import { toasts } from './toasts.svelte';

type Phase = 'starting' | 'wizard' | 'login' | 'in' | 'unreachable';
const KEY = 'sluice-app';

class Account {
  phase = $state<Phase>('starting');
  me = $state<Me | null>(null);
  apps = $state<string[]>([]);
  version = $state('');
  liveApp = $state('');
  trouble = $state('');
  /** The login ended by itself while the panel was open, which stays as it is. */
  expired = $state(false);
  isAdmin = $derived(this.me?.role === 'ADMIN');
  canWrite = $derived(this.me !== null && this.me.role !== 'READ_ONLY');

  constructor() {
    onLoginLost(() => {
      this.expired = this.phase === 'in';
    });
  }

  /** The application that was looked at last; at first one where something happens. */
  get lastApp(): string {
    const last = localStorage.getItem(KEY) ?? this.liveApp;
    return this.apps.includes(last) ? last : (this.apps[0] ?? 'live');
  }
  set lastApp(app: string) {
    localStorage.setItem(KEY, app);
  }

  async start() {
    try {
      if (await api.needsFirstAccount()) this.phase = 'wizard';
      else if (await api.isLoggedIn()) await this.enter();
      else this.phase = 'login';
    } catch (error) {
      if (error instanceof ApiError && error.status === 403) this.phase = 'login';
      else {
        this.trouble = told(error);
        this.phase = 'unreachable';
      }
    }
  }

  async logIn(email: string, password: string) {
    await api.logIn(email, password);
    await this.enter();
  }

  async enter() {
    const [me, apps, version, liveApp] = await Promise.all([
      api.me(),
      api.applications(),
      api.version().catch(() => null),
      api.liveApp().catch(() => undefined),
    ]);
    // What somebody typed is not for whoever logs in after.
    if (this.me && this.me.email !== me.email) return location.reload();
    this.me = me;
    this.apps = apps;
    this.liveApp = liveApp ?? '';
    this.version = version?.serverVersion ?? '';
    this.expired = false;
    this.phase = 'in';
  }

  /** `out`: called when it is certain, before everything that is shown goes. */
  async logOut(out: () => void = () => {}) {
    try {
      await api.logOut();
    } catch (error) {
      // Whoever is not logged in any more is logged out.
      if (!(error instanceof ApiError && error.status === 403)) return toasts.fail(`Not logged out: ${told(error)}`);
    }
    out();
    // Nothing that was typed or shown is left for who comes next.
    location.reload();
  }
}

export const account = new Account();
