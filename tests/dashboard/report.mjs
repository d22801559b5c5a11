// How checks are made, and how they went. Knows neither servers nor browsers.

/** How long anything that must happen may take. */
export const PATIENCE_MS = 30_000;

export const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export async function until(what, holds, patience = PATIENCE_MS) {
  const deadline = Date.now() + patience;
  let seen;
  do {
    seen = await holds();
    if (seen) return seen;
    await pause(50);
  } while (Date.now() < deadline);
  throw new Error(`waited in vain for this: ${what}`);
}

export function assert(holds, what) {
  if (!holds) throw new Error(what);
}

const outcome = { passed: 0, failed: 0 };

/** Runs one check and says how it went; the others run all the same. */
export async function check(name, body) {
  try {
    await body();
    outcome.passed += 1;
    console.log(`${name} ... ok`);
  } catch (error) {
    outcome.failed += 1;
    console.log(`${name} ... FAILED\n${error.stack}`);
  }
}

/** The line that CI adds up, and the exit code. */
export function finish() {
  const { passed, failed } = outcome;
  console.log(`test result: ${failed === 0 ? "ok" : "FAILED"}. ${passed} passed; ${failed} failed`);
  process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
}
