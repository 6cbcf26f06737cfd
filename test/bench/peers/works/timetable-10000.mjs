import { timetable } from "../timetable.mjs";

export default timetable(10_000);
