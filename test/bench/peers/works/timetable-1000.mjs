import { timetable } from "../timetable.mjs";

export default timetable(1_000);
