import { readdirSync, readFileSync } from "node:fs";

/** Resident bytes of a process and all that it started, as Linux counts them; pages that two share count twice. */
export function treeMemory(root: number): number {
  const children = new Map<number, number[]>();
  const resident = new Map<number, number>();
  for (const entry of readdirSync("/proc")) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
      // The command's name is in parentheses and may hold anything; what follows it is plain.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const parent = Number(fields[1]);
      children.set(parent, [...(children.get(parent) ?? []), pid]);
      resident.set(pid, Number(fields[21]) * 4096);
    } catch {
      // The process ended while it was looked at.
    }
  }
  let sum = 0;
  const open = [root];
  for (let pid = open.pop(); pid !== undefined; pid = open.pop()) {
    sum += resident.get(pid) ?? 0;
    open.push(...(children.get(pid) ?? []));
  }
  return sum;
}

/** Watches a process tree from outside until stopped; gives the peak in MB (10^6 bytes). */
export function watchMemory(pid: number, everyMs = 20): () => number {
  let peak = 0;
  const sample = () => {
    peak = Math.max(peak, treeMemory(pid));
  };
  sample();
  const timer = setInterval(sample, everyMs);
  return () => {
    sample();
    clearInterval(timer);
    return peak / 1e6;
  };
}
