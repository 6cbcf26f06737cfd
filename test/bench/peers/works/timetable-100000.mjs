import { timetable } from "../timetable.mjs";

export default timetable(100_000);
