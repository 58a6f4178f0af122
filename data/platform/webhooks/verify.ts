/**
 * Verifying a webhook of Brisalta.
 *
 * Copy this file into your project; it needs nothing but Node 18 or newer.
 * The description is in api/webhooks.md.
 *
 * The mistake that nearly everybody makes once: the signature covers the *raw
 * bytes* of the body.  If a framework has parsed the JSON already and you
 * serialise it again, spaces and the order of fields may differ and the
 * signature will not match.  In Express use `express.raw({ type: "*\/*" })` for
 * this one route.
 */

import { createHmac, timingSafeEqual } from "node:crypto";

/** Calls whose time differs from ours by more than this are refused. */
export const TOLERANCE_SECONDS = 300;

/** Event identifiers should be remembered for three days: we may send one twice. */
export const REMEMBER_EVENTS_MS = 3 * 24 * 3600 * 1000;

export class WebhookError extends Error {
  constructor(
    readonly reason: "missing" | "malformed" | "too-old" | "too-new" | "mismatch",
    message: string,
  ) {
    super(message);
  }
}

interface ParsedHeader {
  time: number;
  /** One value normally, two during the 24 hours in which a secret is rotated. */
  signatures: Buffer[];
}

/** Parse `t=1776153644,v1=5f0c…,v1=77aa…`. Unknown keys are ignored, so that we can add some. */
export function parseHeader(header: string | undefined): ParsedHeader {
  if (!header) throw new WebhookError("missing", "no Brisalta-Signature header");
  let time = Number.NaN;
  const signatures: Buffer[] = [];
  for (const part of header.split(",")) {
    const at = part.indexOf("=");
    if (at < 0) continue;
    const key = part.slice(0, at).trim();
    const value = part.slice(at + 1).trim();
    if (key === "t" && /^\d{10}$/.test(value)) time = Number(value);
    if (key === "v1" && /^[0-9a-f]{64}$/.test(value)) signatures.push(Buffer.from(value, "hex"));
  }
  if (Number.isNaN(time) || signatures.length === 0) {
    throw new WebhookError("malformed", "header has no time or no v1 signature");
  }
  return { time, signatures };
}

/**
 * Throws a WebhookError unless `body` was sent by us within the last five minutes.
 *
 * @param body    the raw bytes, before any parsing
 * @param header  value of `Brisalta-Signature`
 * @param secret  secret of the endpoint, with its prefix `whsec_`
 * @param now     seconds since 1970, for tests
 */
export function verify(
  body: Buffer,
  header: string | undefined,
  secret: string,
  now: number = Math.floor(Date.now() / 1000),
): void {
  const { time, signatures } = parseHeader(header);
  if (now - time > TOLERANCE_SECONDS) {
    throw new WebhookError("too-old", `signed ${now - time} s ago; is your clock right?`);
  }
  if (time - now > TOLERANCE_SECONDS) {
    throw new WebhookError("too-new", `signed ${time - now} s in the future; is your clock right?`);
  }
  const expected = createHmac("sha256", secret).update(`${time}.`).update(body).digest();
  // Every candidate is compared, and each in constant time, so that the duration
  // does not tell which one was nearly right.
  let match = false;
  for (const candidate of signatures) {
    if (timingSafeEqual(candidate, expected)) match = true;
  }
  if (!match) throw new WebhookError("mismatch", "signature does not match");
}

/**
 * Events may come twice and, rarely, out of order.  This keeps the newest
 * `recorded_at` for each parcel and says whether an event brings something new.
 * Replace the maps by a table when you run more than one process.
 */
export class EventFilter {
  private readonly seen = new Map<string, number>();
  private readonly newest = new Map<string, string>();

  isNew(event: { id: string; data: { parcel_id?: string; recorded_at?: string } }, now = Date.now()): boolean {
    for (const [id, at] of this.seen) {
      if (now - at <= REMEMBER_EVENTS_MS) break; // insertion order: the rest is younger
      this.seen.delete(id);
    }
    if (this.seen.has(event.id)) return false;
    this.seen.set(event.id, now);

    const { parcel_id: parcel, recorded_at: recorded } = event.data;
    if (!parcel || !recorded) return true;
    const before = this.newest.get(parcel);
    if (before !== undefined && before >= recorded) return false;
    this.newest.set(parcel, recorded);
    return true;
  }
}
