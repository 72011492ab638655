const format = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });

/** Shows an amount in whole cents: 1290 is €12.90. */
export function money(cents: number): string {
  return format.format(cents / 100);
}

/** Reads what somebody typed as euros into cents: "12.9" and "12,90" are 1290. Undefined for what is no amount. */
export function cents(text: string): number | undefined {
  const match = /^\s*(\d{1,5})(?:[.,](\d{1,2}))?\s*$/.exec(text);
  if (!match) return undefined;
  return Number(match[1]) * 100 + Number((match[2] ?? "0").padEnd(2, "0"));
}
