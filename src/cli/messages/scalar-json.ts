import { ScalarType } from '@bufbuild/protobuf'

/** The default value of a scalar in protobuf JSON, in which 64-bit numbers are strings. */
export function scalarOf(scalar: ScalarType | undefined): string | number | boolean {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return ''
    case ScalarType.BOOL:
      return false
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return '0'
    default:
      return 0
  }
}
