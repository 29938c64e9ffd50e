// For a tab: where each recording was left, by call SID; "loaded"; "list". For good: settings.

const read = (storage, key) => JSON.parse(storage.getItem(key));

function write(storage, key, value) {
  try {
    storage.setItem(key, JSON.stringify(value));
  } catch {} // full, or forbidden
}

export const recall = (key) => read(sessionStorage, key);
export const remember = (key, value) => write(sessionStorage, key, value);
export const setting = (name) => read(localStorage, name);
export const keepSetting = (name, value) => write(localStorage, name, value);
