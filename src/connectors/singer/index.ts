export type { CommandOptions, SingerSetting } from "./command.ts";
export { type SingerRecord, type TapOptions, singerTap } from "./singer-tap.ts";
export { type SingerImport, type StreamSchema, type TargetOptions, singerTarget } from "./singer-target.ts";
