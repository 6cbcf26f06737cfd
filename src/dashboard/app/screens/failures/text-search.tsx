import { useScan } from "../../api/scan.ts";
import { ScanResult } from "../../tables/scan-result.tsx";
import { type FailureFilter, apiFilter } from "./filter.ts";

/** Failures whose record or message contains the words. */
export function TextSearch({ filter, text }: { readonly filter: FailureFilter; readonly text: string }) {
  const scan = useScan({ ...apiFilter(filter), text });
  return <ScanResult scan={scan} />;
}
