// Addresses within the page: #/view/name?parameter=value, so that whatever is shown can be linked to.

import { useEffect, useState } from './vendor/preact-htm.js';

/** What the address says: the view, the name of what it shows, and the parameters. */
function readAddress(hash = location.hash) {
  const [path, query = ''] = hash.replace(/^#\/?/, '').split('?');
  const [view, ...name] = path.split('/');
  return { view: view || 'overview', name: decode(name.join('/')), parameters: Object.fromEntries(new URLSearchParams(query)) };
}

function decode(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

/** The address of a view; parameters that say nothing are left out. */
export function address(view, parameters = {}, name = '') {
  const said = Object.entries(parameters).filter(([, value]) => value !== '' && value != null);
  const query = new URLSearchParams(said).toString();
  return `#/${view}${name ? `/${encodeURIComponent(name)}` : ''}${query ? `?${query}` : ''}`;
}

export const go = (...to) => { location.hash = address(...to); };

/** As `go`, without a step of its own in the history. */
export function become(...to) {
  history.replaceState(null, '', address(...to));
  dispatchEvent(new HashChangeEvent('hashchange'));
}

export function useAddress() {
  const [found, setFound] = useState(readAddress);
  useEffect(() => {
    const read = () => setFound(readAddress());
    addEventListener('hashchange', read);
    return () => removeEventListener('hashchange', read);
  }, []);
  return found;
}
