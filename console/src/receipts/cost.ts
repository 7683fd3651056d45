import type { Schemas } from '../api/client';

/** What the actions of these receipts cost together, in micro-units. */
export function costOf(receipts: readonly Schemas['Receipt'][]): number {
  return receipts.reduce((sum, receipt) => sum + (amount(receipt) ?? 0), 0);
}

/** What one settled action cost. */
export function amount(receipt: unknown): number | undefined {
  const cost = (receipt as { cost?: { amount?: unknown } }).cost;
  return typeof cost?.amount === 'number' ? cost.amount : undefined;
}
